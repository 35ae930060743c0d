"""What is replaced for the time of one export is put back exactly."""

from __future__ import annotations

import pytest

from export.formats._tracing import replaced


def test_a_replaced_function_is_restored_after_an_error():
    class Owner:
        def f(self):
            return 1

    def fail():
        with replaced(Owner, "f", lambda self: 2), replaced(Owner, "g", lambda self: 3):
            assert (Owner().f(), Owner().g()) == (2, 3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert Owner().f() == 1
    assert not hasattr(Owner, "g")
