"""What is replaced for the time of one export is put back exactly."""

from __future__ import annotations

import pytest

from export.formats._tracing import replace_method


def test_a_replaced_function_is_restored_after_an_error():
    class Owner:
        def f(self):
            return 1

    def fail():
        with replace_method(Owner, "f", lambda self: 2), replace_method(Owner, "g", lambda self: 3):
            assert (Owner().f(), Owner().g()) == (2, 3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert Owner().f() == 1
    assert not hasattr(Owner, "g")
