import pytest

from export.request.source import ModuleSource
from export.request.user_code import find_distributions, find_sources, parse_shape, split_target
from pfd_models.errors import SpecError


@pytest.mark.parametrize("text", ["1,3,224,224", "1x3x224x224"])
def test_a_shape_is_read(text):
    assert parse_shape(text) == (1, 3, 224, 224)


@pytest.mark.parametrize("text", ["", "1,3,", "a", "1,-3", "0"])
def test_what_is_no_shape_is_one_line(text):
    with pytest.raises(SpecError, match="write it as 1,3,224,224"):
        parse_shape(text)


@pytest.mark.parametrize("target", ["nothing", ":f", "m:"])
def test_a_target_without_a_factory_is_one_line(target):
    with pytest.raises(SpecError, match=r"package\.module:factory"):
        split_target(ModuleSource(target=target, input_shapes=((1,),)))


def test_a_users_own_file_is_known_by_content_and_an_installed_one_by_version(
    write_factory, tmp_path
):
    own = write_factory("user_own", "x = 1\n")
    assert find_sources(own) == [tmp_path / "user_own.py"]
    assert find_distributions(own) == ()
    installed = ModuleSource(target="torchvision.models:resnet18", input_shapes=((1,),))
    assert find_sources(installed) == []
    assert find_distributions(installed) == ("torchvision",)
