"""The tables. A column has the name of the record's field it keeps.

Schema versions, of the store and of the exported JSON:
    1  first version.
    2  artifacts: leftovers, params and macs.
    3  readings: thermal_status, boot_id, asleep_ns, wall_ahead_s; they are JSON in blocks.
       heats and their turns.
    4  artifacts: calibration.
    5  arm_counts.
    6  foreign_results.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

__all__ = [
    "SCHEMA_VERSION",
    "arm_counts",
    "arms",
    "artifacts",
    "blocks",
    "campaigns",
    "devices",
    "events",
    "foreign_results",
    "heats",
    "locks",
    "memory",
    "metadata",
    "operators",
    "profiles",
    "samples",
    "schema_version",
    "turns",
]

SCHEMA_VERSION = 6

metadata = MetaData()

schema_version = Table(
    "schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)

devices = Table(
    "devices",
    metadata,
    Column("device_id", String, primary_key=True),
    Column("serial", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("model", String, nullable=False),
    Column("manufacturer", String, nullable=False),
    Column("soc", String, nullable=False),
    Column("abi", String, nullable=False),
    Column("os", String, nullable=False),
    Column("kernel", String, nullable=False),
    Column("cpu_count", Integer, nullable=False),
    Column("memory_kib", BigInteger),
    Column("clusters", JSON, nullable=False),
    Column("thermal_zones", JSON, nullable=False),
    Column("virtual", Boolean),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("file", String, nullable=False),
    Column("format", String, nullable=False),
    Column("model", String, nullable=False),
    Column("variant", String, nullable=False),
    Column("dataset", String, nullable=False),
    Column("resolution", Integer),
    Column("precision", String, nullable=False),
    Column("backend", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("delegates", Integer),
    Column("leftovers", Integer),
    Column("build_id", String, nullable=False),
    Column("params", BigInteger),
    Column("macs", BigInteger),
    Column("versions", JSON, nullable=False),
    Column("calibration", String, nullable=False),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("campaign_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("device_id", ForeignKey("devices.device_id"), nullable=False),
    Column("started_utc", String, nullable=False),
    Column("precision", Float, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("budget_seconds", Float, nullable=False),
    Column("min_rounds", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("harness_version", String, nullable=False),
    Column("host", String, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("git_revision", String, nullable=False),
    Column("git_dirty", Boolean, nullable=False),
)

arms = Table(
    "arms",
    metadata,
    Column("campaign_id", ForeignKey("campaigns.campaign_id"), primary_key=True),
    Column("label", String, primary_key=True),
    Column("place", Integer, nullable=False),
    Column("artifact_sha256", ForeignKey("artifacts.sha256"), nullable=False),
    Column("engine", String, nullable=False),
    Column("threads", Integer, nullable=False),
    Column("cpu_mask", String, nullable=False),
    Column("role", String, nullable=False),
    Column("compared_to", String, nullable=False),
)


def _of_an_arm() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["campaign_id", "label"], ["arms.campaign_id", "arms.label"])


blocks = Table(
    "blocks",
    metadata,
    Column("block_id", Integer, primary_key=True),
    Column("campaign_id", String, nullable=False),
    Column("index", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("label", String, nullable=False),
    Column("artifact_sha256", ForeignKey("artifacts.sha256"), nullable=False),
    Column("engine", String, nullable=False),
    Column("threads", Integer, nullable=False),
    Column("cpu_mask", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("started_utc", String, nullable=False),
    Column("load_ns", BigInteger),
    Column("first_inference_ns", BigInteger),
    Column("warmup_inferences", Integer, nullable=False),
    Column("vm_hwm_kib", BigInteger),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("flags", JSON, nullable=False),
    Column("handicap_ppm", Integer, nullable=False),
    Column("harness_version", String, nullable=False),
    UniqueConstraint("campaign_id", "index", "attempt"),
    _of_an_arm(),
)

samples = Table(
    "samples",
    metadata,
    Column("block_id", ForeignKey("blocks.block_id"), primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("samples_ns", LargeBinary, nullable=False),
    Column("cpus", LargeBinary, nullable=False),
)

heats = Table(
    "heats",
    metadata,
    Column("heat_id", Integer, primary_key=True),
    Column("campaign_id", ForeignKey("campaigns.campaign_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_utc", String, nullable=False),
    Column("children", JSON, nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("flags", JSON, nullable=False),
    Column("harness_version", String, nullable=False),
    UniqueConstraint("campaign_id", "number", "attempt"),
)

turns = Table(
    "turns",
    metadata,
    Column("heat_id", ForeignKey("heats.heat_id"), primary_key=True, autoincrement=False),
    Column("turn_count", Integer, nullable=False),
    Column("sample_count", Integer, nullable=False),
    Column("turn_child", LargeBinary, nullable=False),
    Column("turn_first", LargeBinary, nullable=False),
    Column("turn_begin_ns", LargeBinary, nullable=False),
    Column("turn_end_ns", LargeBinary, nullable=False),
    Column("turn_freq_khz", LargeBinary, nullable=False),
    Column("samples_ns", LargeBinary, nullable=False),
    Column("cpus", LargeBinary, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("event_id", Integer, primary_key=True),
    Column("campaign_id", ForeignKey("campaigns.campaign_id"), nullable=False, index=True),
    Column("at_utc", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("message", String, nullable=False),
    Column("block_index", Integer),
    Column("data", JSON, nullable=False),
)

profiles = Table(
    "profiles",
    metadata,
    Column("profile_id", Integer, primary_key=True),
    Column("campaign_id", String, nullable=False, index=True),
    Column("label", String, nullable=False),
    Column("started_utc", String, nullable=False),
    Column("harness_version", String, nullable=False),
    _of_an_arm(),
)

operators = Table(
    "operators",
    metadata,
    Column("profile_id", ForeignKey("profiles.profile_id"), primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("delegate", String, nullable=False),
    Column("count", Integer, nullable=False),
    Column("samples_ns", LargeBinary, nullable=False),
)

memory = Table(
    "memory",
    metadata,
    Column("memory_id", Integer, primary_key=True),
    Column("campaign_id", String, nullable=False, index=True),
    Column("label", String, nullable=False),
    Column("started_utc", String, nullable=False),
    Column("vm_hwm_kib", BigInteger, nullable=False),
    Column("rss_kib", JSON, nullable=False),
    Column("harness_version", String, nullable=False),
    _of_an_arm(),
)

# Of no campaign: what a file executes does not depend on when or where it was measured.
arm_counts = Table(
    "arm_counts",
    metadata,
    Column("count_id", String, primary_key=True),
    Column("artifact_sha256", ForeignKey("artifacts.sha256"), nullable=False, index=True),
    Column("engine", String, nullable=False),
    Column("engine_version", String, nullable=False),
    Column("core", String, nullable=False),
    Column("cpu_model", String, nullable=False),
    Column("caches", String, nullable=False),
    Column("emulator", String, nullable=False),
    Column("counter_version", String, nullable=False),
    Column("harness_version", String, nullable=False),
    Column("counted_utc", String, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("spread", Float, nullable=False),
    Column("operators", JSON, nullable=False),
    Column("blocks", JSON, nullable=False),
)

# Of no campaign: what others published.
foreign_results = Table(
    "foreign_results",
    metadata,
    Column("source", String, primary_key=True),
    Column("row_id", String, primary_key=True),
    Column("measured_on", String, primary_key=True),
    Column("model", String, nullable=False),
    Column("file", String, nullable=False),
    Column("device", String, nullable=False),
    Column("os", String, nullable=False),
    Column("accelerator", String, nullable=False),
    Column("delegate", String, nullable=False),
    Column("median_ms", Float, nullable=False),
    Column("p95_ms", Float),
    Column("runs", Integer),
    Column("runtime", String, nullable=False),
    Column("silent_about", JSON, nullable=False),
)

# Not a record: who is using a device now (see lock.py).
locks = Table(
    "locks",
    metadata,
    Column("serial", String, primary_key=True),
    Column("token", String, nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("since_utc", String, nullable=False),
    Column("heartbeat_s", Float, nullable=False),
)
