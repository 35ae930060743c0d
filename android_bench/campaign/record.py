"""The record of a campaign: made when it begins, matched with device and files when it goes on."""

from __future__ import annotations

import datetime
import os
import platform
import secrets
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from android_bench.campaign.contest import BenchFile, Contest, files_of
from android_bench.campaign.result import STOPPED
from android_bench.devices.device import Device
from android_bench.records import Arm, CampaignRecord, Role, Rules
from android_bench.store import Store
from export.request.provenance import git_state
from export.sets.manifest import load_manifest
from pfd_models.errors import InputError

__all__ = ["arms_of", "name_campaign", "new_record", "resumable"]

_PACKAGES = ("numpy", "scipy", "sqlalchemy")


def new_record(device: Device, contest: Contest, rules: Rules) -> CampaignRecord:
    """Return the record of a campaign that begins now."""
    begin = datetime.datetime.now(datetime.UTC)
    revision, dirty = git_state(Path(__file__).parent)
    return CampaignRecord(
        campaign_id=f"{begin:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        name=name_campaign(contest, rules),
        device_id=device.record.device_id,
        started_utc=begin.isoformat(),
        arms=arms_of(contest, rules),
        rules=rules,
        manifests={f.artifact.sha256: os.fspath(f.manifest_path) for f in contest.files},
        harness_version=device.harness.version,
        host=platform.node() or "unknown",
        versions={"python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES},
        git_revision=revision,
        git_dirty=dirty,
    )


def name_campaign(contest: Contest, rules: Rules) -> str:
    """Return what a campaign is called: the same for the same comparison."""
    plural = "s" if rules.threads > 1 else ""
    return f"{contest.name}, {rules.threads} thread{plural}"


def arms_of(contest: Contest, rules: Rules) -> tuple[Arm, ...]:
    """Return an arm a variant, and the baseline again as the A/A control."""
    design, arms = rules.design(contest.labels), []
    for label, file in contest.entries:
        is_baseline = label == design.baseline
        arms.append(_arm(label, file, contest, rules, Role.CANDIDATE, design.baseline))
        if is_baseline:
            arms[-1] = _arm(label, file, contest, rules, Role.BASELINE, "")
            arms.append(
                _arm(design.control_label, file, contest, rules, Role.CONTROL, design.baseline)
            )
    return tuple(arms)


def _arm(
    label: str, file: BenchFile, contest: Contest, rules: Rules, role: Role, compared_to: str
) -> Arm:
    return Arm(
        label=label,
        artifact_sha256=file.artifact.sha256,
        engine=contest.engine,
        threads=rules.threads,
        cpu_mask=rules.cpu_mask,
        role=role,
        compared_to=compared_to,
    )


def resumable(
    store: Store, device: Device, name: str, files: Sequence[BenchFile] = ()
) -> tuple[CampaignRecord, Contest]:
    """Return a campaign that can go on, with the files it compares.

    Args:
        store: Where it is.
        device: Which must be the one it began on, unchanged.
        name: Its id, the beginning of it, or ``last``.
        files: Where to look for its files first.

    Raises:
        InputError: It is finished, or its device, harness or files are others now.
        IntegrityError: A file is not the one its manifest describes.
    """
    record = store.campaign(name)
    which = f"campaign {record.campaign_id}"
    if any(event.kind == STOPPED for event in store.events(record.campaign_id)):
        raise InputError(f"{which} is finished: show it, or start a new one")
    if record.device_id != device.record.device_id:
        raise InputError(
            f"{which} was measured on {_other(store, record, device)}; start a new one"
        )
    if record.harness_version != device.harness.version:
        raise InputError(
            f"{which} was measured by harness {record.harness_version} and this is "
            f"{device.harness.version}: their blocks do not belong together; start a new one"
        )
    by_sha256 = {file.artifact.sha256: file for file in (*_remembered(record), *files)}
    entries = []
    for label in record.design.labels:
        arm = record.arm(label)
        if arm.artifact_sha256 not in by_sha256:
            stored = store.artifacts(record.campaign_id)[arm.artifact_sha256]
            raise InputError(
                f"{which} needs {stored.file} with SHA-256 {stored.sha256[:12]}..., which is not "
                "where it was: name it with --artifacts, or start a new campaign"
            )
        entries.append((label, by_sha256[arm.artifact_sha256]))
    engine = record.arms[0].engine
    return record, Contest(name=record.name, engine=engine, entries=tuple(entries))


def _other(store: Store, record: CampaignRecord, device: Device) -> str:
    """Say how the device differs: another one, or the same after a change."""
    then, now = store.device(record.device_id), device.record
    if then.serial != now.serial:
        return f"{then.model} ({then.serial}), not on {now.model} ({now.serial})"
    changed = [n for n in now.__slots__ if getattr(then, n) != getattr(now, n)]
    return f"this device before its {' and '.join(changed)} changed"


def _remembered(record: CampaignRecord) -> list[BenchFile]:
    found: list[BenchFile] = []
    for path in record.manifests.values():
        if Path(path).is_file():
            found += files_of(load_manifest(path))
    return found
