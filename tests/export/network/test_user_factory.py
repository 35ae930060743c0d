import pytest
from torch import nn

from export.network.user_factory import call_factory
from export.request.source import InputTensor, ModuleSource
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


def test_a_factory_gets_the_arguments_of_the_target(write_factory):
    source = write_factory(
        "user_wide",
        "from torch import nn\ndef make(channels, *, kernel=1):\n"
        "    return nn.Conv2d(3, channels, kernel)\n",
        "make(7, kernel=5)",
    )
    conv = call_factory(source)
    assert (conv.out_channels, conv.kernel_size) == (7, (5, 5))


def test_a_factory_may_belong_to_a_class(write_factory):
    source = write_factory(
        "user_class",
        "from torch import nn\nclass Net(nn.ReLU):\n    @classmethod\n"
        "    def small(cls):\n        return cls()\n",
        "Net.small",
    )
    assert type(call_factory(source)).__name__ == "Net"


def test_arguments_that_a_factory_does_not_take_are_one_line(write_factory):
    source = write_factory(
        "user_takes_none", "from torch import nn\ndef make():\n    return nn.ReLU()\n", "make(3)"
    )
    with pytest.raises(ModuleError, match=r"user_takes_none:make\(3\) failed: TypeError: make\(\)"):
        call_factory(source)
    source = write_factory("user_made", "from torch import nn\nnet = nn.ReLU()\n", "net(3)")
    with pytest.raises(ModuleError, match="user_made:net is a module, not a factory"):
        call_factory(source)


@pytest.mark.parametrize(
    ("target", "kind", "classes"),
    [
        ("torchvision:squeezenet1_1", "SqueezeNet", None),
        ("torchvision:mobilenet_v3_small(num_classes=3)", "MobileNetV3", 3),
        ("torchvision:lraspp_mobilenet_v3_large", "LRASPP", None),
        ("timm:mobilenetv3_small_050(num_classes=3)", "MobileNetV3", 3),
        ("timm:mobilenetv3_small_050.lamb_in1k", "MobileNetV3", None),
    ],
)
def test_a_librarys_network_is_made_by_its_name_without_download(
    target, kind, classes, monkeypatch
):
    def refuse(*arguments, **options):
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    made = call_factory(ModuleSource(target=target, inputs=(InputTensor(shape=(1, 3, 64, 64)),)))
    assert type(made).__name__ == kind
    if classes:
        assert [m for m in made.modules() if isinstance(m, nn.Linear)][-1].out_features == classes


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_name_that_a_library_does_not_have_is_one_line(library):
    source = ModuleSource(
        target=f"{library}:mobilenet_v3_largo", inputs=(InputTensor(shape=(1, 3, 64, 64)),)
    )
    with pytest.raises(
        ModuleError, match=f"unknown network 'mobilenet_v3_largo' for {library}: did"
    ):
        call_factory(source)
