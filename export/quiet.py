"""Keep the libraries' own chatter off the screen.

ExecuTorch, XNNPACK, LiteRT and onnxsim write to file descriptor 2 from C++, so Python's own
logging cannot silence them: the descriptor itself is redirected meanwhile. It stands below every
room because the worker processes and three file formats, which know nothing of each other, use it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

__all__ = ["quiet_logs"]

NOISY = ("torch", "executorch", "onnxscript", "onnx_ir", "onnxruntime", "root")


@contextlib.contextmanager
def quiet_logs(*, verbose: bool = False) -> Iterator[None]:
    """Silence warnings, loggers and both output descriptors, below the Python level too.

    Args:
        verbose: Let everything through.
    """
    if verbose:
        yield
        return
    levels = {name: logging.getLogger(name).level for name in NOISY}
    with open(os.devnull, "w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            with _redirect(1, nowhere.fileno()), _redirect(2, nowhere.fileno()):
                yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _redirect(descriptor: int, target: int) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(descriptor)
    os.dup2(target, descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved, descriptor)
        os.close(saved)
