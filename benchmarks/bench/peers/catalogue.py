"""The peers, each with the settings that its own guide recommends for short tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.peers.servers import Gearmand, Postgres, Redis, Server

APPS = "bench.peers"


@dataclass(frozen=True)
class Peer:
    """Another system: what it is made of, and how its two workers are started."""

    name: str
    # The distribution on PyPI that it comes from; none for Gearman.
    distribution: str
    server: Callable[[], Server]
    app: str
    # Programs of its virtual environment, with arguments; `python` is its Python.
    workers: tuple[tuple[str, ...], ...]
    survives_kill: bool
    about: str
    # The share of the tasks that is enough of them, for the slow.
    part: float = 1.0
    prepare: tuple[str, ...] = ()


def _huey(name: str, server: Callable[[], Server], *, survives_kill: bool) -> Peer:
    return Peer(
        name,
        "huey",
        server,
        f"{APPS}.huey_app",
        (("huey_consumer", f"{APPS}.huey_app.huey", "-w", "2", "-k", "process", "-n"),),
        survives_kill,
        "two worker processes, results announced",
        part=0.5,
    )


GEARMAN = Peer(
    "Gearman",
    "",
    Gearmand,
    f"{APPS}.gearman_app",
    (("python", "-m", f"{APPS}.gearman_app", "worker"),) * 2,
    False,
    "two workers in Python, jobs sent by the hundred, a thousand in flight",
)
HUEY = _huey("Huey, Redis", Redis, survives_kill=False)
HUEY_SYNCED = _huey(
    "Huey, Redis, appendfsync always", lambda: Redis(durable=True), survives_kill=True
)
DRAMATIQ = Peer(
    "Dramatiq, Redis",
    "dramatiq",
    Redis,
    f"{APPS}.dramatiq_app",
    (("dramatiq", f"{APPS}.dramatiq_app", "--processes", "2"),),
    False,
    "two worker processes of eight threads, its default",
    part=0.5,
)
CELERY = Peer(
    "Celery, Redis",
    "celery",
    Redis,
    f"{APPS}.celery_app",
    (("celery", "-A", f"{APPS}.celery_app", "worker", "-c", "2", "-l", "warning"),),
    False,
    "two worker processes, prefetch 64",
    part=0.2,
)
PROCRASTINATE = Peer(
    "Procrastinate, PostgreSQL",
    "procrastinate",
    Postgres,
    f"{APPS}.procrastinate_app",
    (("procrastinate", "--app", f"{APPS}.procrastinate_app.app", "worker", "-c", "10"),) * 2,
    True,
    "two worker processes of ten jobs at once; jobs kept, there are no results",
    part=0.1,
    prepare=("procrastinate", "--app", f"{APPS}.procrastinate_app.app", "schema", "--apply"),
)

PEERS = (GEARMAN, HUEY, HUEY_SYNCED, DRAMATIQ, CELERY, PROCRASTINATE)
