"""What a user's own code is known by: its content, or the version of what was installed."""

import site
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec

import pytest

from export.request.request import BuildRequest
from export.request.source import InputTensor, ModuleSource
from export.request.user_sources import find_distributions, find_imports, find_sources


def test_a_users_own_file_is_known_by_content_and_an_installed_one_by_version(
    write_factory, tmp_path
):
    own = write_factory("user_own", "x = 1\n")
    assert find_sources(own) == [tmp_path / "user_own.py"]
    assert find_distributions(own) == ()
    inputs = (InputTensor(shape=(1,)),)
    for target in ("torchvision.models:resnet18", "torchvision:resnet18"):
        installed = ModuleSource(target=target, inputs=inputs)
        assert find_sources(installed) == []
        assert find_distributions(installed) == ("torchvision",)


def test_what_is_installed_is_read_once_a_process(monkeypatch):
    inputs = (InputTensor(shape=(1,)),)
    timm = ModuleSource(target="timm:resnet18", inputs=inputs)
    assert find_distributions(timm) == ("timm",)
    monkeypatch.setattr("importlib.metadata.distributions", None)
    assert find_distributions(timm) == ("timm",)
    # The same as the standard library finds, of all that was copied and that nothing hides.
    monkeypatch.undo()
    for package, names in packages_distributions().items():
        spec = find_spec(package)
        copied = spec is not None and "/site-packages/" in f"{spec.origin} {spec.loader}"
        expected = tuple(sorted(set(names))) if copied else ()
        source = ModuleSource(target=f"{package}:make", inputs=inputs)
        if spec is None or spec.origin is not None:
            assert find_distributions(source) == expected


@pytest.fixture
def installed_in_place(tmp_path, monkeypatch):
    """Return a package's file after `pip install -e`, as pip leaves it: a link and metadata."""
    project = tmp_path / "project"
    (project / "linked_pkg").mkdir(parents=True)
    file = project / "linked_pkg" / "__init__.py"
    file.write_text("x = 1\n")
    packages = tmp_path / "lib" / "site-packages"
    metadata = packages / "linked_pkg-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: linked-pkg\nVersion: 1.0\n")
    (metadata / "top_level.txt").write_text("linked_pkg\n")
    (metadata / "RECORD").write_text("__editable__.linked_pkg-1.0.pth,,\n")
    (packages / "__editable__.linked_pkg-1.0.pth").write_text(f"{project}\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    site.addsitedir(str(packages))
    return file


def test_a_package_that_is_installed_in_place_is_known_by_its_content(installed_in_place):
    source = ModuleSource(target="linked_pkg:make", inputs=(InputTensor(shape=(1,)),))
    request = BuildRequest(source=source)
    assert find_distributions(source) == ()
    assert find_sources(source) == [installed_in_place.parent]
    before = request.request_key()
    assert request.request_key() == before
    installed_in_place.write_text("x = 2\n")
    assert request.request_key() != before


def test_a_package_that_hides_an_installed_one_is_known_by_its_content(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "timm", raising=False)  # what is imported is found first
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text("x = 1\n")
    inputs = (InputTensor(shape=(1,)),)
    source = ModuleSource(target="timm:make", inputs=inputs, search_path=str(tmp_path))
    assert find_sources(source) == [tmp_path / "timm"]


def test_a_folder_without_an_init_file_is_known_by_its_content(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "bare_pkg").mkdir()
    (tmp_path / "bare_pkg" / "net.py").write_text("x = 1\n")
    inputs = (InputTensor(shape=(1,)),)
    source = ModuleSource(target="bare_pkg.net:make", inputs=inputs, search_path=str(tmp_path))
    assert find_sources(source) == [tmp_path / "bare_pkg"]


def test_what_a_users_file_imports_is_known_too(write_factory, tmp_path):
    write_factory("user_blocks", "import json, timm.layers as layers\nfrom pfd_models import zoo\n")
    source = write_factory("user_net", "def make():\n    import user_blocks\n")
    assert find_imports(source) == ([tmp_path / "user_blocks.py"], ("timm",))
    request = BuildRequest(source=source)
    before = request.request_key()
    write_factory("user_blocks", "x = 2\n")
    assert request.request_key() != before
