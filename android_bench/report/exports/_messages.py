"""Protobuf messages of other programs, from tables of their fields instead of generated files.

The protobuf library encodes; only the names, numbers and types of the fields used stand here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["make_messages"]


def make_messages(
    package: str, tables: Mapping[str, Sequence[tuple[str, int, str]]]
) -> dict[str, Any]:
    """Return message name to its class.

    Args:
        package: The messages' package.
        tables: Message name to its fields: name, number, and a scalar type of protobuf or the name
            of a message of `tables`; ``repeated`` before it where there may be many.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto2"
    )
    for message_name, fields in tables.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind in fields:
            *many, kind = kind.split()
            label = kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL
            if kind in tables:
                message.field.add(
                    name=name,
                    number=number,
                    label=label,
                    type=kinds.TYPE_MESSAGE,
                    type_name=f".{package}.{kind}",
                )
            else:
                scalar = kinds.Type.Value(f"TYPE_{kind.upper()}")
                message.field.add(name=name, number=number, label=label, type=scalar)
    # A pool of its own: the program may have the originals too.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in tables
    }
