"""`python -m pfd_models.tables`: the paper's tables, measured beside printed.

Parameters and multiply-accumulates are counted here, now; accuracies and latencies are the
paper's. The exit status is 1 if a network is not the one that was counted there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from pfd_models.errors import PfdError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print the tables and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pfd_models.tables", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown tables")
    form.add_argument("--json", action="store_true", help="print a JSON list, one object a row")
    options = parser.parse_args(arguments)
    from pfd_models.paper.tables import format_tables, plain_rows, require_exact

    try:
        if options.json:
            text = json.dumps(plain_rows(), indent=2)
        else:
            text = format_tables(markdown=options.markdown)
        sys.stdout.write(text + "\n")
        require_exact()
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
