"""The master's settings: section `master` of the file, `PULLWORK_MASTER_*`, and flags."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from pullwork.log import Format, Level
from pullwork.settings import Duration, HostPort, Section, Size
from pullwork_master.core.limits import Policy


class MasterSettings(Section):
    """Where a master listens, what it keeps, and the rules it sets for workers."""

    section: ClassVar[str] = "master"

    listen: HostPort = Field(
        default="127.0.0.1:7733",
        description="Where to listen. Beyond loopback everybody who reaches the port may do "
        "everything: there is no authentication yet.",
    )
    advertise: HostPort | None = Field(
        default=None,
        description="How others reach this master, if not by the address it listens on.",
    )
    http_listen: HostPort | None = Field(
        default=None,
        description="Where to listen for HTTP with JSON, e.g. 127.0.0.1:7780; absent: nowhere. "
        "Beyond loopback the same holds as for `listen`.",
    )
    http_hosts: list[str] = Field(
        default_factory=list,
        description="Names by which it is reached over HTTP, beside addresses and localhost; `*`: "
        "any, which lets web pages of others in.",
    )
    name: str = Field(
        default="master", description="The master's name, for people.", min_length=1, max_length=128
    )
    data: Path = Field(
        default=Path("pullwork-data"),
        description="The data folder; made if absent. One master at a time uses it.",
    )
    ready_file: Path | None = Field(
        default=None,
        description="A file to write the address to, as host:port, once the master serves.",
    )
    metrics_listen: HostPort | None = Field(
        default=None,
        description="Where to answer Prometheus, at /metrics, e.g. 127.0.0.1:9464. Whoever reaches "
        "it may read the names of queues and types. It listens nowhere by default.",
    )
    heartbeat: Duration = Field(
        default=5.0, ge=0.1, le=300, description="How often workers send an inventory."
    )
    grace: Duration = Field(
        default=1.0,
        ge=0.05,
        le=300,
        description="How long a worker's leases stand after its stream broke.",
    )
    silence_grace: Duration = Field(
        default=10.0,
        ge=0.1,
        le=3600,
        description="How long they stand after it fell silent for three heartbeats.",
    )
    retention: Duration = Field(
        default=7 * 86400.0,
        le=10 * 365 * 86400.0,
        description="How long ended tasks are kept that do not say so themselves.",
    )
    payload_bytes_max: Size = Field(
        default=1024 * 1024,
        ge=1024,
        # A payload and a result of this size travel in one answer of GetTask, beside headers and
        # a story, and gRPC takes 4 MiB.
        le=3 * 1024 * 1024 // 2,
        description="The largest payload or result that is taken.",
    )
    queue_tasks_max: int = Field(
        default=10_000_000,
        ge=1,
        description="How many tasks may wait in one queue; more are refused as QUEUE_FULL.",
    )
    workers_max: int = Field(
        default=10_000, ge=1, le=100_000, description="How many workers may be connected."
    )
    disk_reserve: Size = Field(
        default=64 * 1024 * 1024,
        description="With less room than this on its disk, the master refuses new tasks as "
        "DISK_FULL, so that those it has can end.",
    )
    stop_grace: Duration = Field(
        default=5.0, le=300, description="How long calls under way may take when it stops."
    )
    log_level: Level = Field(default="info", description="The least level to log.")
    log_format: Format = Field(
        default="auto", description="How to log: auto is human on a terminal, else json."
    )

    def policy(self, *, tell_moves: bool = False) -> Policy:
        """Returns the rules that the core lives by; telemetry has each change of state told."""
        return Policy(
            tell_moves=tell_moves,
            heartbeat_ms=_ms(self.heartbeat),
            grace_ms=_ms(self.grace),
            silence_grace_ms=_ms(self.silence_grace),
            retention_ms=_ms(self.retention),
            payload_bytes_max=self.payload_bytes_max,
            queue_tasks_max=self.queue_tasks_max,
            sessions_max=self.workers_max,
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
