"""Records, tables, JSON and docs/result-schema.md say the same."""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from android_bench import records
from android_bench.arm_cost.document import CostDocument, CountedFile, write_document
from android_bench.campaign.result import CampaignResult, read_result
from android_bench.records import Block, CampaignRecord, Rules, TimedRun
from android_bench.records.stored_form import _OWN as OWN_RULES
from android_bench.report.json_document import result_document, result_json
from android_bench.statistics import comparison as stats
from android_bench.statistics import summary
from android_bench.store import SCHEMA_VERSION, schema
from pfd_models.plain_data import is_hex

PAGE = (Path(__file__).parents[3] / "docs" / "result-schema.md").read_text()

RECORDS = {
    "Campaign": records.CampaignRecord,
    "Arm": records.Arm,
    "Device": records.DeviceRecord,
    "Cluster": records.Cluster,
    "Artifact": records.ArtifactRecord,
    "Block": records.Block,
    "Heat": records.HeatRecord,
    "Child": records.HeatChild,
    "Turns": records.TurnSamples,
    "Reading": records.Reading,
    "Event": records.Event,
    "Profile": records.OperatorProfile,
    "Operator": records.OperatorTime,
    "Memory": records.MemoryRecord,
    "Foreign": records.ForeignResult,
    "Summary": summary.Summary,
    "Comparison": stats.Comparison,
    "Result": CampaignResult,
    "CostDocument": CostDocument,
    "CountedFile": CountedFile,
    "ArmCount": records.ArmCount,
    "Counts": records.Counts,
    "OperatorCount": records.OperatorCount,
    "HotBlock": records.HotBlock,
}
SECTION_OF = {kind: section for section, kind in RECORDS.items()}
NOT_FIELDS = {"Comparison": ["verdict"]}  # a property

TABLES = {
    "Campaign": schema.campaigns,
    "Arm": schema.arms,
    "Device": schema.devices,
    "Artifact": schema.artifacts,
    "Block": schema.blocks,
    "Heat": schema.heats,
    "Event": schema.events,
    "Profile": schema.profiles,
    "Operator": schema.operators,
    "Memory": schema.memory,
    "Foreign": schema.foreign_results,
    "ArmCount": schema.arm_counts,
}
# Of `pfd-arm`: counts are in no campaign's document.
COST = ("CostDocument", "CountedFile", "ArmCount", "Counts", "OperatorCount", "HotBlock")
# Columns that are no fields: keys and order.
KEYS = {
    "Arm": {"campaign_id", "place"},
    "Device": {"device_id"},
    "Block": {"block_id"},
    "Heat": {"heat_id"},
    "Event": {"event_id"},
    "Profile": {"profile_id"},
    "Operator": {"profile_id", "place", "count"},
    "Memory": {"memory_id"},
    "ArmCount": {"count_id"},
}
# Fields that are rows of another table.
ELSEWHERE = {
    "Campaign": {"arms"},
    "Block": {"samples_ns", "cpus"},
    "Profile": {"operators"},
    "Heat": {"turns"},
}


def described():
    """Return section to its rows: field, type, unit, null, since."""
    sections = {}
    for part in re.split(r"^#+ ", PAGE, flags=re.MULTILINE):
        title = part.partition("\n")[0]
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \|(.*?)\| (.+?) \| (\d+) \|$", part, re.MULTILINE)
        if rows:
            sections[title] = [
                (name, kind, unit.strip(), null, int(since))
                for name, kind, unit, null, since in rows
            ]
    return sections


def stored_fields(section):
    """Return name to type and field, of a record as it is stored: flat."""
    kinds = {"Block": (Block, TimedRun), "Campaign": (CampaignRecord, Rules)}
    inside = {"run", "rules", "manifests", "judged", "pace"}
    found = {}
    for kind in kinds.get(section, (RECORDS[section],)):
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if field.name not in inside and (kind is not Rules or field.name in OWN_RULES):
                found[field.name] = (hints[field.name], field)
    if section == "Campaign":
        found["settings"] = (Mapping[str, Any], None)
    return found


def type_of(hint, field):
    """Return how the page must call a type, and whether it may be null."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (a for a in arguments if a is not type(None))
        return type_of(inner, field)[0], True
    if field is not None and is_hex(field):
        return "hex text", False
    if origin in (tuple, frozenset):
        return f"list of {type_of(arguments[0], None)[0]}", False
    if origin is np.ndarray:
        return "list of integer", False
    if field is not None and field.name == "artifacts":
        return "list of Artifact", False  # a map by SHA-256 in memory
    if origin is not None:
        key = {int: "CPU", str: "text"}[arguments[0]]
        return f"map of {key} to {type_of(arguments[1], None)[0]}", False
    if hint in SECTION_OF:
        return SECTION_OF[hint], False
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "text", False
    names = {int: "integer", float: "number", str: "text", bool: "true or false"}
    return names.get(hint, "anything"), False


def test_the_page_describes_every_record_and_nothing_else():
    assert set(described()) == set(RECORDS) | {"Document"}


@pytest.mark.parametrize("section", RECORDS)
def test_the_page_has_every_field_with_its_type_and_null(section):
    wrong = []
    rows = described()[section]
    fields = stored_fields(section)
    assert sorted(row[0] for row in rows) == sorted([*fields, *NOT_FIELDS.get(section, [])])
    for name, written, _, null, since in rows:
        right, optional = type_of(*fields[name]) if name in fields else ("text", False)
        if not re.match(rf"{re.escape(right)}(?![\w ])|{re.escape(right)}$", written):
            wrong.append(f"{name}: the page says {written!r}, the record {right!r}")
        if (null != "never") != optional:
            wrong.append(f"{name}: null is {null!r}, the record says {optional}")
        if not 1 <= since <= SCHEMA_VERSION:
            wrong.append(f"{name}: since {since}")
    assert not wrong, "\n".join(wrong)


def test_units_in_names_are_the_units_on_the_page():
    suffixes = {"_ns": "ns", "_khz": "kHz", "_kib": "KiB", "_mc": "mc", "_seconds": "s"}
    wrong = [
        f"{section}.{name}: {unit!r}"
        for section, rows in described().items()
        for name, _, unit, _, _ in rows
        for suffix, right in suffixes.items()
        if name.endswith(suffix) and unit != right
    ]
    assert not wrong


@pytest.mark.parametrize("section", TABLES)
def test_the_table_has_every_field_and_the_same_nulls(section):
    fields = set(stored_fields(section))
    columns = set(TABLES[section].columns.keys())
    assert columns - KEYS.get(section, set()) == fields - ELSEWHERE.get(section, set())
    nulls = {row[0] for row in described()[section] if row[3] != "never"}
    assert {c.name for c in TABLES[section].columns if c.nullable} == nulls
    assert f"Table `{TABLES[section].name}`" in PAGE


def test_every_table_is_a_record_or_named_machinery():
    machinery = {"samples", "turns", "locks", "schema_version"}
    assert set(schema.metadata.tables) - machinery == {t.name for t in TABLES.values()}
    assert {"count", "block_id", "samples_ns", "cpus"} == set(schema.samples.columns.keys())


def test_the_page_tells_every_version():
    history = re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert [int(version) for version, _ in history] == list(range(1, SCHEMA_VERSION + 1))
    assert f"**Version {SCHEMA_VERSION}.**" in PAGE
    for section, rows in described().items():
        is_new = len({since for *_, since in rows}) == 1 and section in history[rows[0][-1] - 1][1]
        for name, *_, since in rows:
            if since > 1 and not is_new:
                assert f"`{name}`" in history[since - 1][1]


def test_the_page_names_every_flag_and_role():
    for value in (*records.Flag, *records.Role, *stats.Verdict):
        assert f"`{value.value}`" in PAGE


def keys_of(plain, section):
    """Return section to the keys that its objects have in a document, all the way down."""
    found = {section: set(plain)}
    for name, kind, *_ in described()[section]:
        child = next((s for s in described() if re.search(rf"\b{s}\b", kind.split(":")[0])), None)
        if child is None or plain[name] is None:
            continue
        for value in plain[name] if kind.startswith("list") else [plain[name]]:
            for key, keys in keys_of(value, child).items():
                found.setdefault(key, set()).update(keys)
    return found


def test_the_json_has_exactly_the_fields_of_the_page(store, make):
    make.fill(store)
    result = read_result(store, "last")
    document = json.loads(result_json([result]))
    assert document == result_document([result])
    found = keys_of(document, "Document")
    page = {section: {row[0] for row in rows} for section, rows in described().items()}
    page["Device"] |= {"device_id"}
    of_no_campaign = (*COST, "Foreign")
    assert found == {s: names for s, names in page.items() if s not in of_no_campaign}


def test_the_cost_document_has_exactly_the_fields_of_the_page(make, tmp_path):
    count = make.arm_count()
    file = CountedFile(file="net.pte", artifact=make.artifact(), count=count)
    write_document(tmp_path / "c.json", [file])
    document = json.loads((tmp_path / "c.json").read_text())
    totals = document["files"][0].pop("totals")
    assert all(f"`{name}`" in PAGE for name in totals)
    assert totals["instructions"] == count.counts.instructions
    page = {section: {row[0] for row in rows} for section, rows in described().items()}
    found = keys_of(document, "CostDocument")
    assert found == {section: page[section] for section in (*COST, "Artifact")}


def test_the_json_holds_the_stored_values(store, make):
    make.fill(store)
    (plain,) = result_document([read_result(store, "last")])["campaigns"]
    blocks = make.measured_blocks()
    assert [b["samples_ns"] for b in plain["blocks"]] == [b.run.samples_ns.tolist() for b in blocks]
    assert plain["blocks"][0]["cpu_mask"] == "0x2"
    assert plain["blocks"][9]["flags"] == ["throttled"]
    assert plain["complete"] is True
    (comparison,) = plain["comparisons"]
    assert comparison["verdict"] == "faster"
    assert comparison["low"] < 0.97 < comparison["high"]
    assert plain["control"]["low"] < 1 < plain["control"]["high"]
