"""What a refusal must be: one line of the right class."""

import pytest


@pytest.fixture
def refusal():
    """Give a function that runs what must be refused with one line that has these parts."""

    def check(kind, action, *parts):
        with pytest.raises(kind) as caught:
            action()
        assert type(caught.value) is kind
        line = str(caught.value)
        assert "\n" not in line
        for part in parts:
            assert part in line
        return line

    return check
