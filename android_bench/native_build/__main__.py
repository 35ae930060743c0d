"""`python -m android_bench.native_build`: build the harness, or find it built."""

import sys

from android_bench.native_build.build import main

sys.exit(main())
