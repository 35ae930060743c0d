"""What a conversion did: the rewritten model and a record of every place it touched."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

__all__ = ["Conversion", "Site", "size_text"]


def size_text(shape: tuple[int, ...]) -> str:
    """Write a shape for a message, as ``1x96x56x56``."""
    return "x".join(map(str, shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One rewritten convolution; ``str(site)`` describes it in one line.

    Attributes:
        name: Where the convolution was in the original, as ``named_modules`` writes it.
        before: The convolution that was there, as ``conv 3x3 s2 p1``.
        after: What is there now.
        input_before: Shape (N, C, H, W) that reached the site in the original; None where the
            conversion had no example input to run.
        output_before: Shape that left the convolution in the original.
        input_after: As `input_before`, in the rewritten model.
        output_after: As `output_before`, in the rewritten model.
    """

    name: str
    before: str
    after: str
    input_before: tuple[int, ...] | None = None
    output_before: tuple[int, ...] | None = None
    input_after: tuple[int, ...] | None = None
    output_after: tuple[int, ...] | None = None

    def __str__(self) -> str:
        """Describe the site in one line."""
        line = f"{self.name or 'the model itself'}: {self.before} -> {self.after}"
        if self.output_before is not None and self.output_after is not None:
            line += f"; {size_text(self.output_before)} -> {size_text(self.output_after)}"
        return line


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A rewritten copy of a model and what was changed in it.

    Attributes:
        model: The rewritten copy; the original was not touched.
        sites: Every rewritten place, in the order in which the original runs them (in the order
            of registration where nothing was run).
        left: One line for each candidate that was left as it is, with its reason.
    """

    model: nn.Module
    sites: tuple[Site, ...]
    left: tuple[str, ...] = ()
