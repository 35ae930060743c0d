"""Numbers that other tools follow from run to run, held against schemas of their documents."""

import json
import re

import pytest

from android_bench.campaign.result import read_result
from android_bench.report.exports._measures import collect_kept_samples
from pfd_models.errors import InputError

NUMBER, TEXT, COUNT = {"type": "number"}, {"type": "string"}, {"type": "integer"}


def closed(properties, required=None):
    """Return the schema of an object with these fields and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


# bencher.dev/bmf.json: benchmark -> measure -> value with optional ends.
BMF = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {
        "type": "object",
        "additionalProperties": closed(
            {"value": NUMBER, "lower_value": NUMBER, "upper_value": NUMBER}, ["value"]
        ),
    },
}
# README of github-action-benchmark.
GITHUB_ACTION = {
    "type": "array",
    "minItems": 1,
    "items": closed(
        {"name": TEXT, "unit": TEXT, "value": NUMBER, "range": TEXT, "extra": TEXT},
        ["name", "unit", "value"],
    ),
}
# androidx, json/BenchmarkData.kt: a type with a question mark there may be null.
ANDROIDX = closed(
    {
        "context": closed(
            {
                "build": closed(
                    dict.fromkeys(["brand", "device", "fingerprint", "id", "model", "type"], TEXT)
                    | {"version": closed({"codename": TEXT, "sdk": COUNT})}
                ),
                "cpuCoreCount": COUNT,
                "cpuLocked": {"type": "boolean"},
                "cpuMaxFreqHz": COUNT,
                "memTotalBytes": COUNT,
                "sustainedPerformanceModeEnabled": {"type": "boolean"},
                "artMainlineVersion": COUNT,
                "osCodenameAbbreviated": TEXT,
                "compilationMode": TEXT,
                "payload": {"type": "object", "additionalProperties": TEXT},
            }
        ),
        "benchmarks": {
            "type": "array",
            "items": closed(
                {
                    "name": TEXT,
                    "params": {"type": "object", "additionalProperties": TEXT},
                    "className": TEXT,
                    "totalRunTimeNs": COUNT,
                    "metrics": {
                        "type": "object",
                        "additionalProperties": closed(
                            {
                                "minimum": NUMBER,
                                "maximum": NUMBER,
                                "median": NUMBER,
                                "runs": {"type": "array", "items": NUMBER},
                            }
                        ),
                    },
                    "sampledMetrics": {"type": "object", "maxProperties": 0},
                    "warmupIterations": {"type": ["integer", "null"]},
                    "repeatIterations": {"type": ["integer", "null"]},
                    "thermalThrottleSleepSeconds": {"type": ["integer", "null"]},
                    "profilerOutputs": {"type": "null"},
                }
            ),
        },
    }
)
SCHEMAS = {"bmf": BMF, "github-action-benchmark": GITHUB_ACTION, "androidx": ANDROIDX}


@pytest.fixture(params=["blocks_result", "heats_result"])
def result(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_written_is_what_the_format_asks_for(name, result, export, jsonschema):
    (document,) = export(name, result).values()
    jsonschema.validate(json.loads(document), SCHEMAS[name])


def of_label(document, label):
    (found,) = [v for k, v in document.items() if f"_{label}_" in k]
    return found


def test_bmf_carries_medians_in_ns_and_the_ratio_with_its_interval(result, export):
    document = json.loads(export("bmf", result)[""])
    medians = {s.label: s.median_ns for s in result.summaries}
    assert {n: of_label(document, n)["latency"] for n in medians} == {
        n: {"value": v} for n, v in medians.items()
    }
    (ratio,) = result.comparisons
    assert of_label(document, "ours")["latency-ratio"] == {
        "value": ratio.ratio, "lower_value": ratio.low, "upper_value": ratio.high,
    }  # fmt: skip
    assert "latency-ratio" not in of_label(document, "orig")


def test_names_of_benchmarks_do_not_change_from_run_to_run(store, make, make_heats, export):
    names = []
    for number in (1, 2):
        done = make_heats.fill(store, campaign_id=f"c{number}", disturbed=False)
        names.append(set(json.loads(export("bmf", done)[""])))
    assert names[0] == names[1]
    assert all("Example CPU 3000" in name for name in names[0])


def test_github_action_benchmark_has_the_half_width_as_the_ratios_range(result, export):
    entries = json.loads(export("github-action-benchmark", result)[""])
    (ratio,) = result.comparisons
    (entry,) = [e for e in entries if e["unit"] == "ratio"]
    assert entry["value"] == ratio.ratio
    written = float(re.fullmatch(r"± ([\d.]+)", entry["range"])[1])
    assert written == pytest.approx(ratio.high - ratio.ratio, rel=0.05)  # two digits
    assert ratio.verdict.value in entry["extra"]
    latencies = [e["value"] for e in entries if e["unit"] == "ms"]
    assert latencies == [s.median_ns / 1e6 for s in result.summaries]


def test_androidx_holds_every_sample_that_counts(result, export):
    document = json.loads(export("androidx", result)[""])
    kept = collect_kept_samples(result)
    for test in document["benchmarks"]:
        assert test["metrics"]["timeNs"]["runs"] == kept[test["name"]].tolist()
        assert test["repeatIterations"] == len(kept[test["name"]])
        assert test["totalRunTimeNs"] == kept[test["name"]].sum()
    assert [t["metrics"]["timeNs"]["median"] for t in document["benchmarks"]] == [
        s.median_ns for s in result.summaries
    ]
    (ratio,) = result.comparisons
    assert f"{ratio.low:.5f} to {ratio.high:.5f}" in str(document["context"]["payload"])


def test_the_samples_that_count_are_those_of_the_summary(result):
    kept = collect_kept_samples(result)
    assert {s.label: s.n_samples for s in result.summaries} == {
        label: len(samples) for label, samples in kept.items()
    }


@pytest.mark.parametrize("name", [*SCHEMAS, "benchmark-result-pb"])
def test_an_emulated_phone_feeds_no_dashboard(name, store, make, export, refusal):
    phone = make.device(kind="android", virtual=True, model="Virtual")
    campaign = make.campaign(device_id=phone.device_id)
    store.add_campaign(campaign, phone, [make.artifact(), make.artifact("ours")])
    for block in make.measured_blocks(rounds=6):
        store.add_block(block)
    done = read_result(store, "last")
    refusal(InputError, lambda: export(name, done), "Virtual", "emulated", "perfetto")
    assert export("csv", done)


@pytest.mark.parametrize("name", ["bmf", "github-action-benchmark"])
def test_campaigns_that_say_the_same_are_refused_together(name, blocks_result, export, refusal):
    line = refusal(InputError, lambda: export(name, blocks_result, blocks_result), "both measured")
    assert blocks_result.campaign.campaign_id in line


@pytest.mark.parametrize("name", ["androidx", "benchmark-result-pb", "perfetto", "model-explorer"])
def test_a_format_about_one_device_takes_one_campaign(name, blocks_result, export, refusal):
    two = (blocks_result, blocks_result)
    refusal(InputError, lambda: export(name, *two), "2 campaigns", name)


def test_a_campaign_without_a_good_block_says_so(store, make, export, refusal):
    store.add_campaign(make.campaign(), make.device(), [make.artifact(), make.artifact("ours")])
    done = read_result(store, "last")
    refusal(InputError, lambda: export("bmf", done), "no undisturbed measurement")
