"""``python -m android_bench.cli``: `pfd-bench` where nothing is installed."""

from __future__ import annotations

import sys

from android_bench.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
