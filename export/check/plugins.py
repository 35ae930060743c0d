"""What the NPU compiler plugins of LiteRT's wheel say of themselves, read out of the wheel.

The chips come from the wheel's Python enumerations, as text: importing them would import the whole
ahead-of-time compiler. MediaTek's list of operators lies in its plugin as a row of the schema's
numbers; the other plugins hold none and ask their maker's SDK about each operator.
"""

from __future__ import annotations

import ast
import importlib.util
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pfd_models.errors import DeviceError

__all__ = ["VENDORS", "Vendor", "find_sdk", "list_socs", "read_operators", "wheel_folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A maker of NPUs whose plugin the wheel ships.

    Attributes:
        name: As the command line calls it.
        folder: Of its parts in the wheel.
        manufacturer: As the plugin calls it.
        plugin: The plugin's file name.
        sdk: PyPI's package of its compiler.
        library: Beginning of the names of the compiler's libraries in that package.
    """

    name: str
    folder: str
    manufacturer: str
    plugin: str
    sdk: str
    library: str

    @property
    def sdk_module(self) -> str:
        """Return the name that the package is imported by."""
        return self.sdk.replace("-", "_")


VENDORS = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            name="mediatek",
            folder="mediatek",
            manufacturer="MediaTek",
            plugin="libLiteRtCompilerPlugin_MediaTek.so",
            sdk="ai-edge-litert-sdk-mediatek",
            library="libneuron",
        ),
        Vendor(
            name="qualcomm",
            folder="qualcomm",
            manufacturer="Qualcomm",
            plugin="libLiteRtCompilerPlugin_Qualcomm.so",
            sdk="ai-edge-litert-sdk-qualcomm",
            library="libQnn",
        ),
        Vendor(
            name="google",
            folder="google_tensor",
            manufacturer="Google",
            plugin="libLiteRtCompilerPlugin_google_tensor.so",
            sdk="ai-edge-litert-sdk-google-tensor",
            library="liblitert_plugin_compiler",
        ),
        Vendor(
            name="samsung",
            folder="samsung",
            manufacturer="Samsung",
            plugin="libLiteRtCompilerPlugin_Samsung.so",
            sdk="ai-edge-litert-sdk-samsung",
            library="lib",
        ),
    )
}

# How MediaTek's list begins; what follows is read. Of ai-edge-litert 2.3.0.
_LIST_BEGINS = ("ADD", "MUL", "BATCH_MATMUL", "FULLY_CONNECTED", "RESHAPE", "TRANSPOSE")


def wheel_folder() -> Path:
    """Return where ai-edge-litert is installed.

    Raises:
        DeviceError: It is not.
    """
    spec = importlib.util.find_spec("ai_edge_litert")
    if spec is None or spec.origin is None:
        raise DeviceError("ai-edge-litert is not installed: pip install ai-edge-litert")
    return Path(spec.origin).parent


def list_socs(vendor: Vendor, folder: Path | None = None) -> tuple[str, ...]:
    """Return the chips that a plugin compiles for, in the wheel's order.

    Args:
        vendor: Whose.
        folder: Of the wheel; the installed one by default.

    Raises:
        DeviceError: The wheel does not hold the list where this version looks for it.
    """
    source = (folder or wheel_folder()) / "aot" / "vendors" / vendor.folder / "target.py"
    try:
        module = ast.parse(source.read_text(encoding="utf-8"))
    except (OSError, SyntaxError) as error:
        raise DeviceError(f"{source} cannot be read: install ai-edge-litert 2.3 anew") from error
    names = [
        statement.value.value
        for node in module.body
        if isinstance(node, ast.ClassDef) and node.name == "SocModel"
        for statement in node.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    ]
    return tuple(name for name in names if name != "ALL")


def read_operators(vendor: Vendor, folder: Path | None = None) -> frozenset[str] | None:
    """Return the kinds of operators on a plugin's list; None where the plugin holds no list.

    Raises:
        DeviceError: The plugin should hold one, and it is not there.
    """
    if vendor.name != "mediatek":
        return None
    plugin = (folder or wheel_folder()) / "vendors" / vendor.folder / "compiler" / vendor.plugin
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    kinds = {number: kind for kind, number in vars(BuiltinOperator).items() if kind[0] != "_"}
    begin = [getattr(BuiltinOperator, kind) for kind in _LIST_BEGINS]
    try:
        content = plugin.read_bytes()
    except OSError as error:
        raise DeviceError(f"{plugin} cannot be read: install ai-edge-litert 2.3 anew") from error
    at = content.find(struct.pack(f"<{len(begin)}i", *begin))
    if at < 0:
        raise DeviceError(
            f"{plugin} does not hold the list of operators that ai-edge-litert 2.3.0 has: "
            "install that version"
        )
    return frozenset(_read_row(content[at:], kinds))


def _read_row(content: bytes, kinds: dict[int, str]) -> Sequence[str]:
    """Return the kinds of a row of numbers, up to the first that is no operator's."""
    row = []
    for (number,) in struct.iter_unpack("<i", content[: len(content) // 4 * 4]):
        if number not in kinds:
            break
        row.append(kinds[number])
    return row


def find_sdk(vendor: Vendor) -> tuple[Path | None, str]:
    """Return the folder of the maker's compiler libraries and, where there is none, why.

    The package of an SDK downloads the libraries while it is installed and installs itself empty
    when that fails, so what counts are the libraries. Nothing is downloaded or imported here.
    """
    spec = importlib.util.find_spec(vendor.sdk_module)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        return None, f"its SDK is not installed (pip install {vendor.sdk}, which downloads it)"
    found = sorted(
        path for folder in folders for path in Path(folder).rglob(f"{vendor.library}*.so*")
    )
    if not found:
        return None, (
            f"{vendor.sdk} is installed and empty: its download failed; install it again where the "
            "maker's server can be reached"
        )
    return found[0].parent, ""
