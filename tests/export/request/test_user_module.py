import pytest
from torch import nn

from export.request.source import ModuleSource
from export.request.user_module import build_module, distributions_of, parse_shape, sources_of
from pfd_models.errors import ModuleError, SpecError


@pytest.fixture
def write(tmp_path):
    """Write a user's file and return the source that names its factory."""

    def write(name, text, factory="make"):
        (tmp_path / f"{name}.py").write_text(text)
        return ModuleSource(
            target=f"{name}:{factory}", input_shapes=((1, 3, 8, 8),), search_path=str(tmp_path)
        )

    return write


@pytest.mark.parametrize("text", ["1,3,224,224", "1x3x224x224"])
def test_a_shape_is_read(text):
    assert parse_shape(text) == (1, 3, 224, 224)


@pytest.mark.parametrize("text", ["", "1,3,", "a", "1,-3", "0"])
def test_what_is_no_shape_is_one_line(text):
    with pytest.raises(SpecError, match="write it as 1,3,224,224"):
        parse_shape(text)


def test_a_factory_is_called(write):
    source = write(
        "user_good", "from torch import nn\ndef make():\n    return nn.Conv2d(3, 4, 3)\n"
    )
    assert isinstance(build_module(source), nn.Conv2d)


def test_a_module_object_needs_no_call(write):
    source = write("user_object", "from torch import nn\nnet = nn.Conv2d(3, 4, 3)\n", "net")
    assert isinstance(build_module(source), nn.Conv2d)


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
def test_what_is_wrong_with_a_users_file_is_one_line(write, name, text, line):
    with pytest.raises(ModuleError, match=line) as caught:
        build_module(write(name, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["nothing", ":f", "m:"])
def test_a_target_without_a_factory_is_one_line(target):
    with pytest.raises(SpecError, match=r"package\.module:factory"):
        build_module(ModuleSource(target=target, input_shapes=((1,),)))


def test_a_users_own_file_is_known_by_content_and_an_installed_one_by_version(write, tmp_path):
    own = write("user_own", "x = 1\n")
    assert sources_of(own) == [tmp_path / "user_own.py"]
    assert distributions_of(own) == ()
    installed = ModuleSource(target="torchvision.models:resnet18", input_shapes=((1,),))
    assert sources_of(installed) == []
    assert distributions_of(installed) == ("torchvision",)
