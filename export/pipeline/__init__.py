"""From a request to a published set: `walk` is the way, `files` makes and checks its files."""

from export.pipeline.walk import BuildResult, make_artifacts

__all__ = ["BuildResult", "make_artifacts"]
