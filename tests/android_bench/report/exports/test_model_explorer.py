"""Times of operators under the names that Model Explorer knows its nodes by."""

import dataclasses
import hashlib
import json

import pytest

from android_bench.campaign.result import read_result
from android_bench.records import OperatorTime
from android_bench.report.exports._steps import place_steps
from export.onnx_to_tflite.listing import list_operators
from pfd_models.errors import InputError

# google-ai-edge/model-explorer, node_data_builder.py: GraphNodeData.
SCHEMA = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "name": {"type": "string"},
        "results": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "properties": {"value": {"type": "number"}},
                "required": ["value"],
                "additionalProperties": False,
            },
        },
        "gradient": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"stop": {"type": "number"}, "bgColor": {"type": "string"}},
                "required": ["stop"],
            },
        },
    },
    "additionalProperties": False,
}
# As LiteRT's profiler names the steps of the padded-convolution file below.
STEPS = (("Convolution (NHWC, F32) IGEMM", 4_000_000), ("Clamp (NC, F32)", 1_000_000))


@pytest.fixture
def file(tmp_path):
    """A .tflite file: a pad that is folded into the convolution behind it, and a RELU6."""
    from tflite_files import make_file

    path = tmp_path / "net.tflite"
    path.write_bytes(make_file("PAD", "CONV_2D", "RELU6"))
    return path


@pytest.fixture
def profiled(store, make, file):
    def fill(steps=STEPS, **changes):
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        artifact = make.artifact(sha256=sha256, file=file.name, format="tflite", **changes)
        arms = (make.arm("orig", artifact_sha256=sha256, engine="litert"),)
        manifests = {sha256: str(file.parent / "net.json")}
        store.add_campaign(make.campaign(arms=arms, manifests=manifests), make.device(), [artifact])
        operators = tuple(
            OperatorTime(name=name, delegate="XNNPACK", samples_ns=(ns, ns)) for name, ns in steps
        )
        store.add_profile(make.profile(operators=operators))
        return read_result(store, "last")

    return fill


def test_each_operator_has_its_time_under_its_output_tensor(profiled, file, export, jsonschema):
    document = json.loads(export("model-explorer", profiled())["-orig"])
    jsonschema.validate(document, SCHEMA)
    pad, conv, relu = list_operators(file.read_bytes())
    assert {name: one["value"] for name, one in document["results"].items()} == {
        pad.layer: 0.0, conv.layer: 4.0, relu.layer: 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "steps",
    [
        (("Convolution (NHWC, F32) IGEMM", 1), ("Sigmoid (NC, F32)", 1)),  # nobody's step
        (("Clamp (NC, F32)", 1),),  # the convolution has none
    ],
)
def test_steps_that_do_not_fit_the_file_are_not_guessed(profiled, export, refusal, steps):
    refusal(InputError, lambda: export("model-explorer", profiled(steps)), "do not fit", "3 oper")


def test_a_step_cut_in_two_is_one_operators(file):
    operators = list_operators(file.read_bytes())
    steps = ["Convolution (NHWC, F32) IGEMM", "Clamp (NC, F32)", "Clamp (NC, F32)"]
    assert place_steps(steps, operators) == [1, 2, 2]


def test_what_is_missing_is_said(profiled, blocks_result, file, store, make, export, refusal):
    refusal(InputError, lambda: export("model-explorer", blocks_result), ".tflite", "pte")
    bare = dataclasses.replace(blocks_result, profiles=())
    refusal(InputError, lambda: export("model-explorer", bare), "--profile")


def test_a_measured_file_that_is_gone_or_another_is_named(profiled, file, export, refusal):
    result = profiled()
    file.write_bytes(file.read_bytes() + b"x")
    refusal(InputError, lambda: export("model-explorer", result), str(file), "is not the file")
    file.unlink()
    refusal(InputError, lambda: export("model-explorer", result), str(file), "cannot be read")
