"""What the runtime makes of a .tflite file: delegates, and the operators left outside them."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Inspection", "inspect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A file as LiteRT's interpreter with its default XNNPACK delegate runs it.

    Attributes:
        ops: Operators in the file by kind, the most frequent first.
        delegates: Delegate partitions that run.
        leftovers: Operators that run outside every delegate, by kind.
        transposes: TRANSPOSE operators in the file.
    """

    ops: Mapping[str, int]
    delegates: int
    leftovers: Mapping[str, int]
    transposes: int


def inspect(model: bytes | str | Path) -> Inspection:
    """Load a file and see what runs where.

    The interpreter lists the original operators and, behind them, one DELEGATE for each partition,
    but not which of them run. So the list is walked back from the outputs: a tensor that a
    delegate produces comes from there, any other from its original operator.

    Args:
        model: The flatbuffer or its path.
    """
    from ai_edge_litert.interpreter import Interpreter

    content = model if isinstance(model, bytes) else Path(model).read_bytes()
    with _quiet():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    details = interpreter._get_ops_details()
    producers: dict[int, int] = {}
    for number, op in enumerate(details):  # delegates come last and so take precedence
        producers.update((int(t), number) for t in op["outputs"])
    wanted = [int(t["index"]) for t in interpreter.get_output_details()]
    running: set[int] = set()
    while wanted:
        number = producers.get(wanted.pop(), -1)
        if number < 0 or number in running:
            continue
        running.add(number)
        wanted.extend(int(t) for t in details[number]["inputs"])
    kinds = [str(op["op_name"]) for op in details]
    ops = Counter(kind for kind in kinds if kind != "DELEGATE")
    left = Counter(kinds[n] for n in sorted(running) if kinds[n] != "DELEGATE")
    return Inspection(
        ops=dict(ops.most_common()),
        delegates=sum(kinds[n] == "DELEGATE" for n in running),
        leftovers=dict(left.most_common()),
        transposes=ops["TRANSPOSE"],
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the runtime's own log, which is written to the process's standard error."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
