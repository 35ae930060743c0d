"""From the facts of a set to the files of an app: templates, the set's own files, the reference."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment, PackageLoader, StrictUndefined

from export.android.facts import AppFacts
from export.android.reference import read_reference
from export.sets.manifest import Manifest

__all__ = ["render"]

_SOURCES = "src/main/java"
_TESTS = "src/androidTest"
_CLASSES = {"litert": "LiteRtClassifier", "executorch": "ExecuTorchClassifier"}


def render(manifest: Manifest, facts: AppFacts, *, with_cpp: bool) -> dict[str, bytes]:
    """Return every file of the app by its path.

    Raises:
        InputError: A file of the set cannot be read.
    """
    environment = Environment(
        loader=PackageLoader("export.android"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # it writes Kotlin and C++
    )
    environment.filters["number"] = _number
    known = {"facts": facts, "classes": _CLASSES, "with_cpp": with_cpp}
    files = {
        place: environment.get_template(template).render(known).encode()
        for place, template in _templates(facts, with_cpp=with_cpp)
    }
    for name, content in read_reference(manifest, facts).items():
        files[f"{_TESTS}/assets/{name}"] = content
    for runtime in facts.runtimes:
        files[f"src/main/assets/{runtime.file}"] = (manifest.folder / runtime.file).read_bytes()
    if facts.labels:
        text = "".join(f"{label}\n" for label in facts.labels)
        files["src/main/assets/labels.txt"] = text.encode()
    return files


def _templates(facts: AppFacts, *, with_cpp: bool) -> Iterator[tuple[str, str]]:
    folder = facts.package.replace(".", "/")
    yield "README.md", "README.md.j2"
    yield "dependencies.gradle.kts", "dependencies.gradle.kts.j2"
    yield "proguard-rules.pro", "proguard-rules.pro.j2"
    names = ["Pixels", "Answer", *(_CLASSES[r.name] for r in facts.runtimes)]
    for name in names:
        yield f"{_SOURCES}/{folder}/{name}.kt", f"kotlin/{name}.kt.j2"
    yield f"{_TESTS}/java/{folder}/ParityTest.kt", "kotlin/ParityTest.kt.j2"
    if with_cpp:
        names = ["pixels.h", "CMakeLists.txt", "parity.cpp"]
        names += [f"{r.name}_classifier.{end}" for r in facts.runtimes for end in ("h", "cpp")]
        for name in names:
            yield f"src/main/cpp/{name}", f"cpp/{name}.j2"


def _number(value: float) -> str:
    """Write a number so that float32 reads it back exactly."""
    return repr(float(value)) + "f"
