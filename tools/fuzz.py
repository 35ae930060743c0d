"""`python tools/fuzz.py`: damaged answers for every protocol, until one is not stood.

Examples:
    python tools/fuzz.py
    python tools/fuzz.py --protocol shell-v2 --inputs 1000000 --seed 7

Exit status 1 says that an input ended in something else than an error of this project; the input
is printed, as small as could be found.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_SHOWN_BYTES = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every target and return the exit status."""
    # What the tests of these borders use too.
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    try:
        from fuzzing import TARGETS, run_target
    except ImportError as error:
        print(f"error: {error}: pip install -e '.[dev]'", file=sys.stderr)
        return 3
    parser = argparse.ArgumentParser(
        prog="tools/fuzz.py", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--protocol",
        action="append",
        choices=list(TARGETS),
        metavar="NAME",
        help=f"one of {', '.join(TARGETS)}; may be given again (default: all)",
    )
    parser.add_argument("--inputs", type=_count, default=100_000, help="for each (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other inputs")
    options = parser.parse_args(arguments)
    failures = 0
    for name in options.protocol or TARGETS:
        begin = time.perf_counter()
        tried, failure = run_target(TARGETS[name], options.inputs, seed_number=options.seed)
        took = time.perf_counter() - begin
        print(
            f"{name:18} {tried:9,} inputs in {took:6.1f} s", "failed" if failure else "", flush=True
        )
        if failure is not None:
            failures += 1
            print(f"  input: {_shown(failure.input.data)}")
            print(f"  in pieces of: {list(failure.input.cuts) or 'one'}")
            print(f"  {type(failure.error).__name__}: {_shown(str(failure.error).encode())}")
    return 1 if failures else 0


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1000000000")
    return int(text)


def _shown(data: bytes) -> str:
    escaped = repr(data)[2:-1]
    if len(escaped) <= _SHOWN_BYTES:
        return escaped
    return f"{escaped[:_SHOWN_BYTES]}... ({len(data)} bytes)"


if __name__ == "__main__":
    sys.exit(main())
