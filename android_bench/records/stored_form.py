"""Campaigns and blocks as the store and the JSON keep them: flat, whatever types hold them.

docs/result-schema.md describes the fields. The way back is here too, so that a field has one
place where its stored form is decided.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from android_bench.records.block import Block, TimedRun
from android_bench.records.campaign import Arm, CampaignRecord
from android_bench.records.rules import Rules
from pfd_models.plain_data import from_plain, to_plain

__all__ = ["block_fields", "block_of_fields", "campaign_fields", "campaign_of_fields"]

# Rules that are fields of their own; the others stand in ``settings``. Threads and CPU mask are
# those of the arms.
_OWN = ("precision", "confidence", "budget_seconds", "min_rounds", "max_attempts", "seed")
_OF_ARMS = ("threads", "cpu_mask")
_SETTINGS = tuple(
    field.name for field in dataclasses.fields(Rules) if field.name not in (*_OWN, *_OF_ARMS)
)
_RUN = tuple(field.name for field in dataclasses.fields(TimedRun))


def campaign_fields(record: CampaignRecord) -> dict[str, Any]:
    """Return a campaign as plain data, its arms included."""
    rules = to_plain(record.rules)
    settings = {name: rules[name] for name in _SETTINGS}
    settings["manifests"] = dict(record.manifests)
    return {
        **to_plain(record, without=("rules", "manifests")),
        **{name: rules[name] for name in _OWN},
        "settings": settings,
    }


def campaign_of_fields(plain: Mapping[str, Any]) -> CampaignRecord:
    """Return a campaign from its stored form.

    Settings that an older bench did not know take their defaults, and those that only it knew
    are passed over.

    Raises:
        InputError: A field is missing or of another type.
    """
    rest = dict(plain)
    what = f"campaign {rest.get('campaign_id')}"
    settings = from_plain(dict[str, Any], rest.pop("settings"), what=f"{what}, settings")
    arms = from_plain(tuple[Arm, ...], rest["arms"], what=what)
    rules = {name: settings[name] for name in _SETTINGS if name in settings}
    rules |= {name: rest.pop(name) for name in _OWN}
    if arms:
        rules |= {name: getattr(arms[0], name) for name in _OF_ARMS}
    whole = {**rest, "rules": rules, "manifests": settings.get("manifests", {})}
    return from_plain(CampaignRecord, whole, what=what)


def block_fields(block: Block) -> dict[str, Any]:
    """Return a block as plain data, samples included."""
    return {**to_plain(block, without=("run",)), **to_plain(block.run)}


def block_of_fields(plain: Mapping[str, Any]) -> Block:
    """Return a block from its stored form.

    Raises:
        InputError: A field is missing, unknown or of another type.
    """
    run = {name: value for name, value in plain.items() if name in _RUN}
    rest = {name: value for name, value in plain.items() if name not in _RUN}
    return from_plain(Block, {**rest, "run": run})
