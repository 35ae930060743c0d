import pytest
from torch import nn

from export.network.user_factory import call_factory
from pfd_models.errors import ModuleError


def test_a_factory_is_called(write_factory):
    source = write_factory(
        "user_good", "from torch import nn\ndef make():\n    return nn.Conv2d(3, 4, 3)\n"
    )
    assert isinstance(call_factory(source), nn.Conv2d)


def test_a_module_object_needs_no_call(write_factory):
    source = write_factory("user_object", "from torch import nn\nnet = nn.Conv2d(3, 4, 3)\n", "net")
    assert isinstance(call_factory(source), nn.Conv2d)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("user_syntax", "def make(:\n", "cannot import user_syntax"),
        ("user_missing", "import no_such_package\n", r"user_missing\.py:1: ModuleNotFoundError"),
        ("user_raises", "def make():\n    return 1 / 0\n", r"user_raises\.py:2: ZeroDivisionError"),
        ("user_int", "def make():\n    return 3\n", "returned int; it must return a torch.nn.Mod"),
        ("user_near", "def mke():\n    pass\n", "unknown factory 'make'.*did you mean 'mke'"),
    ],
)
def test_what_is_wrong_with_a_users_file_is_one_line(write_factory, name, text, line):
    with pytest.raises(ModuleError, match=line) as caught:
        call_factory(write_factory(name, text))
    assert "\n" not in str(caught.value)
