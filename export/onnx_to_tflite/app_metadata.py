"""What Android libraries read in a .tflite file: normalisation, and the classes' names.

The format is a second flatbuffer, with the identifier ``M001``, in the file's metadata table, and
a zip archive with the text files behind the model. It is written with the flatbuffers library: no
package that has the schema's bindings is small, and of eighty tables five are needed.
Source: TFLite Metadata, ``metadata_schema.fbs`` of MediaPipe 1.2; slots are the fields' numbers.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import flatbuffers

__all__ = ["ENTRY_NAME", "AppMetadata", "AppTensor", "append_files", "write_app_metadata"]

ENTRY_NAME = "TFLITE_METADATA"
"""Of the metadata table's entry that holds the second flatbuffer."""

LABELS_FILE = "labels.txt"

_FILE_IDENTIFIER = b"M001"
_PARSER_VERSION = "1.0.0"  # the first that knows all that is written here

_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2  # union ContentProperties
_NORMALIZATION_OPTIONS = 1  # union ProcessUnitOptions
_COLOURS = {"RGB": 1, "GRAYSCALE": 2}  # enum ColorSpaceType
_LABEL_KINDS = {"axis": 2, "value": 3}  # enum AssociatedFileType

_OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppTensor:
    """One input or output.

    Attributes:
        name: As in the signature.
        colours: ``RGB`` or ``GRAYSCALE`` of an image, empty for anything else.
        mean: Subtracted from a pixel of 0 to 255, of one element or one for each channel; empty
            where the tensor takes the pixels themselves.
        std: The difference is divided by it.
        least: Lowest value, of as many elements as `mean`.
        most: Highest value.
        labels: What the labels name: each place of the last ``axis``, or each ``value`` that the
            tensor may have; empty where there are none.
    """

    name: str
    colours: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    least: tuple[float, ...] = ()
    most: tuple[float, ...] = ()
    labels: Literal["", "axis", "value"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppMetadata:
    """What the libraries are told of a model.

    Attributes:
        name: Of the network.
        inputs: In order.
        outputs: In order.
        labels: Names of the classes, for the tensors that refer to them.
    """

    name: str
    inputs: tuple[AppTensor, ...]
    outputs: tuple[AppTensor, ...]
    labels: tuple[str, ...] = field(default=())

    def files(self) -> dict[str, bytes]:
        """Return the text files that go behind the model."""
        text = "".join(f"{label}\n" for label in self.labels)
        return {LABELS_FILE: text.encode()} if self.labels else {}


def write_app_metadata(about: AppMetadata) -> bytes:
    """Write the second flatbuffer."""
    builder = flatbuffers.Builder(1024)
    inputs = _vector(builder, [_tensor(builder, t) for t in about.inputs])
    outputs = _vector(builder, [_tensor(builder, t) for t in about.outputs])
    subgraph = _table(builder, 10, {2: inputs, 3: outputs})
    subgraphs = _vector(builder, [subgraph])
    name, version = builder.CreateString(about.name), builder.CreateString(_PARSER_VERSION)
    builder.Finish(_table(builder, 8, {0: name, 3: subgraphs, 7: version}), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def append_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return a model with a zip archive behind it, where readers of flatbuffers never look.

    The files are stored, not packed: apps map them.
    """
    if not files:
        return model
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _OLDEST_ZIP_TIME), content)
    return stream.getvalue()


def _tensor(builder: flatbuffers.Builder, tensor: AppTensor) -> int:
    name = builder.CreateString(tensor.name)
    slots = {0: name, 3: _content(builder, tensor)}
    if tensor.mean:
        slots[4] = _vector(builder, [_normalisation(builder, tensor)])
    if tensor.most:
        most, least = _floats(builder, tensor.most), _floats(builder, tensor.least)
        slots[5] = _table(builder, 2, {0: most, 1: least})
    if tensor.labels:
        file = builder.CreateString(LABELS_FILE)
        kind = _LABEL_KINDS[tensor.labels]
        slots[6] = _vector(builder, [_table(builder, 5, {0: file}, bytes_={2: kind})])
    return _table(builder, 7, slots)


def _content(builder: flatbuffers.Builder, tensor: AppTensor) -> int:
    kind = _FEATURE_PROPERTIES
    properties = {}
    if tensor.colours:
        kind, properties = _IMAGE_PROPERTIES, {0: _COLOURS[tensor.colours]}
    table = _table(builder, 2, {}, bytes_=properties)
    return _table(builder, 3, {1: table}, bytes_={0: kind})


def _normalisation(builder: flatbuffers.Builder, tensor: AppTensor) -> int:
    mean, std = _floats(builder, tensor.mean), _floats(builder, tensor.std)
    options = _table(builder, 2, {0: mean, 1: std})
    return _table(builder, 2, {1: options}, bytes_={0: _NORMALIZATION_OPTIONS})


def _table(
    builder: flatbuffers.Builder,
    fields: int,
    offsets: Mapping[int, int],
    bytes_: Mapping[int, int] | None = None,
) -> int:
    builder.StartObject(fields)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, number in (bytes_ or {}).items():
        builder.PrependByteSlot(slot, number, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    return _fill(builder, offsets, builder.PrependUOffsetTRelative)


def _floats(builder: flatbuffers.Builder, numbers: Sequence[float]) -> int:
    return _fill(builder, numbers, builder.PrependFloat32)


def _fill(
    builder: flatbuffers.Builder, values: Sequence[float], prepend: Callable[[float], None]
) -> int:
    builder.StartVector(4, len(values), 4)
    for item in reversed(values):
        prepend(item)
    return int(builder.EndVector())
