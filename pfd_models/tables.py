"""`python -m pfd_models.tables`: the paper's tables, measured beside printed."""

import sys

from pfd_models.paper.tables import main

if __name__ == "__main__":
    sys.exit(main())
