"""From the options of `export.build` to what is asked for, or one line that says what is wrong."""

from __future__ import annotations

import argparse
import os
from typing import cast

from export.formats import get_format
from export.request.app import AppOptions, parse_labels, parse_numbers
from export.request.calibration import WAYS, CalibrationSource, parse_calibration
from export.request.request import PRECISIONS, BuildRequest, Precision
from export.request.source import ModuleSource, ZooSource
from export.request.user_code import (
    check_inputs,
    parse_batch,
    parse_input,
    parse_range,
    parse_target,
)
from pfd_models.errors import SpecError, unknown
from pfd_models.variant_names import parse_sites, split_variants

__all__ = ["parse_requests"]


def parse_requests(options: argparse.Namespace) -> list[BuildRequest]:
    """Turn the command line into requests, one per model and variant.

    Raises:
        SpecError: Options that do not go together, or an unknown format.
    """
    formats = tuple(dict.fromkeys(_names(options.formats)))
    for name in formats:
        get_format(name)
    if options.check and "tflite" not in formats:
        raise SpecError(
            f"--check {options.check} runs the .tflite file: add tflite to --formats "
            f"{options.formats}"
        )
    if bool(options.model) == bool(options.module):
        raise SpecError("say what to build: --model NAME, or --module package.module:factory")
    _refuse_without_effect(options)
    sources: list[ZooSource | ModuleSource] = []
    if options.module:
        if not options.input:
            raise SpecError("--module needs the input's shape: --input 1,3,224,224")
        parse_target(options.module)
        inputs = tuple(parse_input(text) for text in options.input)
        check_inputs(inputs)
        sources.append(
            ModuleSource(
                target=options.module,
                inputs=inputs,
                padding_free=options.padding_free or options.padding_free_sites is not None,
                padding_free_sites=(
                    parse_sites(options.padding_free_sites)
                    if options.padding_free_sites is not None
                    else ()
                ),
                to_float32=options.to == "float32",
                search_path=os.getcwd(),
            )
        )
    else:
        least, largest = parse_batch(options.batch or "1", "--batch")
        sources += [
            ZooSource(
                model=model,
                variant=variant,
                dataset=options.dataset or "cifar100",
                num_classes=options.num_classes,
                resolution=options.resolution,
                batch=least,
                largest_batch=largest if largest > least else None,
            )
            for model in _names(options.model)
            for variant in _variants(options.variant or "ours")
        ]
    calibration = _parse_calibration(options)
    app = _parse_app(options)
    keep_float = tuple(_names(options.keep_float)) if options.keep_float else ()
    return [
        BuildRequest(
            source=source,
            name=options.name,
            formats=formats,
            weights=options.weights,
            weights_key=options.weights_key,
            seed=options.seed,
            out=options.out,
            backend=options.backend,
            tflite_io=options.tflite_io,
            precision=precision,
            calibration=calibration if precision != "fp32" else None,
            io=options.io if precision == "int8" else "float",
            app=app,
            keep_float=keep_float if precision == "int8" else (),
            max_loss=options.max_loss if precision == "int8" else None,
            pte_io=options.pte_io,
            input_range=parse_range(options.input_range) if options.input_range else None,
            samples=options.samples,
            allow_flat_output=options.allow_flat_output,
            require_all_formats=options.require_all_formats,
            require_full_delegation=options.require_full_delegation,
            force=options.force,
            verbose=options.verbose,
        )
        for source in sources
        for precision in _precisions(options.precision)
    ]


def _precisions(text: str) -> list[Precision]:
    names = list(dict.fromkeys(_names(text)))
    for name in names:
        if name not in PRECISIONS:
            raise SpecError(unknown("precision", name, PRECISIONS))
    return cast("list[Precision]", names)


def _parse_calibration(options: argparse.Namespace) -> CalibrationSource | None:
    precisions = _precisions(options.precision)
    if precisions == ["fp32"] and options.calibration:
        raise SpecError("--calibration goes with --precision int8 or fp16")
    if "int8" not in precisions and options.io != "float":
        raise SpecError("--io int8 goes with --precision int8")
    if "int8" not in precisions and (
        options.keep_float or options.max_loss is not None or options.sensitivity
    ):
        raise SpecError("--keep-float, --max-loss and --sensitivity go with --precision int8")
    if not options.calibration and "int8" not in precisions:
        return None
    if not options.calibration:
        if options.weights is None:  # a checkpoint that was trained in integers needs none
            raise SpecError(f"--precision int8 needs --calibration: give {WAYS}")
        return None
    return parse_calibration(
        options.calibration,
        count=options.calibration_samples,
        seed=options.seed,
        data_root=options.data_root,
    )


def _parse_app(options: argparse.Namespace) -> AppOptions:
    return AppOptions(
        preprocess=options.preprocess,
        head=options.head,
        labels=None if options.labels is None else parse_labels(options.labels, options.data_root),
        mean=parse_numbers("--mean", options.mean),
        std=parse_numbers("--std", options.std),
    )


def _refuse_without_effect(options: argparse.Namespace) -> None:
    """Refuse an option that the kind of source would pass over in silence.

    Raises:
        SpecError: One that goes with --model was given with --module, or the reverse.
    """
    if options.batch and options.module:
        raise SpecError(
            f"--batch {options.batch} goes with --model; with --module the batch is the first "
            f"number of --input, as in --input {options.batch},3,224,224"
        )
    there, other = ("module", "model") if options.module else ("model", "module")
    for name in _OPTIONS_OF[other]:
        if getattr(options, name):
            option = name.replace("_", "-")
            raise SpecError(f"--{option} goes with --{other}, not with --{there}; leave it out")


_OPTIONS_OF = {
    "model": ("variant", "dataset", "resolution", "num_classes", "batch"),
    "module": ("input", "padding_free", "padding_free_sites", "to", "name"),
}
"""Options that say nothing to a source of the other kind."""


def _variants(text: str) -> list[str]:
    return split_variants(",".join(_names(text)))


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SpecError(f"an empty list of names: {text!r}; separate names by commas")
    return names
