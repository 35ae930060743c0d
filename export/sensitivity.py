"""`python -m export.sensitivity`: what each layer of a network loses in 8 bits.

Takes the options of `export.build`; nothing is published but the analysis.

Example:
    python -m export.sensitivity --model shufflenetv2 --weights best.pt --calibration photographs/
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from export.cli.options import parse_options
from export.cli.requests import parse_requests
from export.cli.sensitivity import analyse_all
from export.cli.workers import plan
from pfd_models.errors import PfdError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, analyse, print, write, and return the exit status."""
    options = parse_options(
        arguments,
        prog="python -m export.sensitivity",
        description="Say what each layer of a network loses in 8 bits.",
    )
    options.precision = "int8"
    try:
        requests = tuple(parse_requests(options))
        analyse_all(plan(requests, skip_undefined=options.model == "all").requests)
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was written is whole\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
