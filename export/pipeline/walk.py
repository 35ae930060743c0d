"""The walk from a request to a published set of artifacts, top to bottom."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.network.network import Network, count_macs, digest_state, make_network
from export.network.threads import one_thread
from export.pipeline.files import Report, make_files, price_layers, save_reference
from export.request.provenance import git_state, versions
from export.request.request import BuildRequest, content_key
from export.sets import publish
from export.sets.manifest import Artifact, Manifest, MissingFormat, load_manifest
from pfd_models.errors import DelegationError, UnsupportedOperatorError

if TYPE_CHECKING:
    from export.graph.program import Program
    from export.network.inputs import Arrays
    from export.parity import ReferenceRun
    from export.quantization.build import EightBit

__all__ = ["BuildResult", "make_artifacts"]


BEFORE_8_BITS = 1e-3
"""How far the rewrites before quantisation may move the result, as a share of the largest: a
quarter of what 8 bits tell apart. They are to catch wrong algebra; the zoo moves by 3e-5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a build ended with.

    Attributes:
        manifest: Of the published set.
        made: Formats that were built now; empty when nothing had changed.
        seconds: Wall time of the whole build.
    """

    manifest: Manifest
    made: tuple[str, ...]
    seconds: float


def make_artifacts(
    request: BuildRequest, report: Report = lambda step: None, *, processes: int = 1
) -> BuildResult:
    """Make, check and publish one set of artifacts.

    1. If a set with the same content key lies in the output folder, verify it and stop.
    2. Make the module from the zoo or the user's factory; load or seed its weights.
    3. Capture its graph, once.
    4. Run the module on seeded inputs in float64: the yardstick of every later comparison.
       Rewrite the graph and hold the rewritten one against the original.
    5. Write each format and run the file on the same inputs; note a format that cannot express
       the network.
    6. Publish files and manifest by rename; until then nothing appears in the output folder.

    Args:
        request: What to make.
        report: Told the name of each step as it begins.
        processes: How many may compute at once: with two, the ``.pte`` is made beside the
            ``.onnx`` and the ``.tflite``, in a fork of this process. The bytes are the same.
            Give more than one only where no other thread of this process computes.

    Raises:
        InputError: Something in the request is wrong; the subclasses say what.
        GateError: A file computes something else, or operators stayed outside the delegate.
    """
    begin = time.perf_counter()
    key = request.request_key()
    found = None if request.force else publish.find(request.out, key, request.formats)
    if found is not None:
        _gate_formats(request, found.missing_formats)
        _gate_delegation(request, found.artifacts)
        return BuildResult(manifest=found, made=(), seconds=time.perf_counter() - begin)
    with one_thread():
        manifest, made = _make_set(request, key, report, processes)
    return BuildResult(manifest=manifest, made=made, seconds=time.perf_counter() - begin)


def _make_set(
    request: BuildRequest, key: str, report: Report, processes: int
) -> tuple[Manifest, tuple[str, ...]]:
    """Make what is missing of a set; return its manifest and the formats that were made."""
    from export.formats import with_needed
    from export.network.app import wrap_for_app

    report("model")
    network, weights = make_network(request)
    network = wrap_for_app(network, request.app)
    network = replace(network, stem=_stem(network, request))
    build_id = content_key(
        {
            **request.decisive_options(),
            "network": [network.name, network.variant, network.dataset, network.inputs],
            "stem": network.stem,  # the files name their manifest
            "state": digest_state(network.module),  # so that no set can hold two networks
            "spec": network.spec,
            "conversions": network.conversions,
            "app": network.app,
        }
    )
    source, place = (network.name, network.variant, network.dataset), request.code_place()
    if not request.force:  # before any work; publishing asks again
        publish.require_own_set(request.out, network.stem, build_id, source, place)
    kept = () if request.force else publish.find_reusable(request.out, network.stem, build_id)
    formats = with_needed(request.formats)
    missing = tuple(f for f in formats if f not in {a.format for a in kept})
    if not missing:
        publish.remember(request.out, key, network.stem)
        manifest = load_manifest(request.out / f"{network.stem}.json")
        _gate_delegation(request, manifest.artifacts)
        return manifest, ()

    with publish.stage(request.out) as folder:
        manifest = _build_into(
            folder, request, network, weights, build_id, missing, kept, report, processes
        )
        _gate_delegation(request, manifest.artifacts)
        report("publish")
        manifest = publish.publish(folder, request.out, manifest, key, force=request.force)
    have = {artifact.format for artifact in manifest.artifacts}
    return manifest, tuple(f for f in missing if f in have)


def _build_into(
    folder: Path,
    request: BuildRequest,
    network: Network,
    weights: str,
    build_id: str,
    formats: tuple[str, ...],
    kept: tuple[Artifact, ...],
    report: Report,
    processes: int,
) -> Manifest:
    from export import parity
    from export.graph.program import capture
    from export.half.judge import halve
    from export.network.inputs import widen_inputs
    from export.network.pixels import choose_network_inputs

    seconds: dict[str, float] = {}
    inputs, called = choose_network_inputs(request, network)
    inputs += widen_inputs(inputs, network.batches)
    with _time_step("capture", seconds, report):  # first: it knows why a module does not trace
        captured = capture(network.module, _tensors(inputs[0]), names=network.input_names)
    with _time_step("reference", seconds, report):
        reference = parity.make_reference(
            network.module,
            inputs,
            allow_flat=request.allow_flat_output,
            advice=_advise_on_flat_output(request, weights),
        )
    with _time_step("rewrite", seconds, report):
        program = rewritten = _rewrite(network, captured)
        _check_rewrites(reference, program)

    eight_bit, kept_run, judge = None, reference, None
    if request.precision == "int8":
        with _time_step("quantize", seconds, report):
            eight_bit = _quantize(request, network, program)
            _check_rewrites(reference, eight_bit.quantized.simplified, allowed=BEFORE_8_BITS)
        program = eight_bit.program
        kept_run = parity.ReferenceRun(
            inputs=eight_bit.inputs, outputs=eight_bit.outputs, eager_relative_linf=None
        )
    if request.precision == "fp16":
        with _time_step("half", seconds, report):
            judge = halve(request, captured, program, reference, network, called)
    made = make_files(
        folder,
        request,
        network,
        program,
        eight_bit or judge or reference,
        build_id,
        formats,
        kept,
        processes,
        report,
    )
    missing = tuple(one for one in made.values() if isinstance(one, MissingFormat))
    _gate_formats(request, missing)
    quantization = None if eight_bit is None else eight_bit.record()
    if eight_bit is not None and eight_bit.keep:
        with _time_step("compare with all in int8", seconds, report):
            quantization = replace(
                eight_bit.record(),
                float_prices=price_layers(
                    folder, request, network, eight_bit, rewritten, build_id, made
                ),
            )
    revision, dirty = git_state(Path(__file__).parent)
    return Manifest(
        stem=network.stem,
        build_id=build_id,
        model=network.name,
        variant=network.variant,
        dataset=network.dataset,
        spec=network.spec,
        weights=weights,
        params=sum(p.numel() for p in network.module.parameters()),
        macs=count_macs(network.module, captured.example),
        passes=program.passes,
        artifacts=tuple(a for _, a in sorted(made.items()) if isinstance(a, Artifact)),
        missing_formats=missing,
        reference=save_reference(folder, network, kept_run),
        versions=versions(),
        git_revision=revision,
        git_dirty=dirty,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        build_seconds=seconds,
        conversions=(*network.conversions, *network.notes),
        code_place=request.code_place(),
        parity_inputs=called,
        allow_flat_output=request.allow_flat_output,
        quantization=quantization,
        app=network.app,
    )


def _rewrite(network: Network, captured: Program) -> Program:
    """Rewrite a captured graph for the delegates, for every batch where that is open."""
    from export.graph.open_batch import BATCHES, open_batch
    from export.graph.program import capture
    from export.passes import run_passes

    if not any(network.batches):
        return run_passes(captured)

    def rewrite(batch: int) -> Program:
        example = tuple(
            tensor if fixed is None else tensor[:1].expand(batch, *tensor.shape[1:])
            for tensor, fixed in zip(captured.example, network.batches, strict=True)
        )
        return run_passes(capture(network.module, example, names=network.input_names))

    first, second = map(rewrite, BATCHES)
    return open_batch(first, second, network.batches)


def _check_rewrites(reference: ReferenceRun, program: Program, allowed: float = 0.0) -> None:
    """Hold a program in float against the module that it was captured from."""
    from export import parity

    fired = [record.name for record in program.passes if record.rewrites]
    parity.check_rewrite(reference, partial(_run_arrays, program), fired, allowed=allowed)


def _stem(network: Network, request: BuildRequest) -> str:
    """Return the file stem of the set, which names the precision of its files."""
    precision = "int8io" if request.io == "int8" else request.precision
    return f"{network.stem.removesuffix('_fp32')}_{precision}"


def _quantize(request: BuildRequest, network: Network, program: Program) -> EightBit:
    from export.quantization.build import quantize_for

    return quantize_for(request, program, network)


def _advise_on_flat_output(request: BuildRequest, weights: str) -> str:
    advice = []
    if "untrained" in weights:
        advice.append("give trained weights (--weights)")
    if request.samples is None and request.input_range is None:
        advice.append(
            "if it does not take standard normal noise, say what it takes (--input-range 0,255 or "
            "--samples FOLDER)"
        )
    elif request.samples is None:
        advice.append("give real inputs (--samples FOLDER)")
    advice.append("if they are flat by nature, accept that (--allow-flat-output)")
    return ", or ".join(advice)


@contextlib.contextmanager
def _time_step(step: str, seconds: dict[str, float], report: Report) -> Iterator[None]:
    report(step)
    begin = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - begin


def _gate_formats(request: BuildRequest, missing: tuple[MissingFormat, ...]) -> None:
    """Refuse a set without any format that was asked for, or without one where all must be."""
    lacking = [m for m in missing if m.format in request.formats]
    if lacking and (request.require_all_formats or len(lacking) == len(request.formats)):
        raise UnsupportedOperatorError(f"no .{lacking[0].format} file: {lacking[0].reason}")


def _gate_delegation(request: BuildRequest, artifacts: tuple[Artifact, ...]) -> None:
    if not request.require_full_delegation:
        return
    for artifact in artifacts:
        if artifact.format in request.formats and artifact.leftovers:
            left = "; ".join(
                f"{x.count} x {x.op}: {x.cause} (fix: {x.fix})" for x in artifact.leftovers
            )
            raise DelegationError(f"{artifact.file} is not fully delegated: {left}")


def _run_arrays(program: Program, sample: Arrays) -> Arrays:
    return [tensor.numpy() for tensor in program.run(_tensors(sample))]


def _tensors(arrays: Arrays) -> tuple[Any, ...]:
    import torch

    return tuple(map(torch.from_numpy, arrays))
