"""`pfd-arm` as a script of the checkout; `--help` lists its verbs."""

from __future__ import annotations

import sys

from android_bench.cli.arm.main import main

if __name__ == "__main__":
    sys.exit(main())
