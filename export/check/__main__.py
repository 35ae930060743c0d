"""``python -m export.check``: see `command`."""

from __future__ import annotations

import sys

from export.check.command import main

if __name__ == "__main__":
    sys.exit(main())
