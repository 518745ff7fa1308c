"""Plays the scenes, some at a time: each has a port and a process of its own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from pullwork.conformance import scenes_of_contact, scenes_of_work
from pullwork.conformance.findings import Findings
from pullwork.conformance.rules import BY_ID, RULES
from pullwork.conformance.scene import Scene
from pullwork.conformance.stage import NeverRegisteredError, SceneOverError, Stage, staged

SCENES: Final[tuple[Scene, ...]] = (*scenes_of_contact.SCENES, *scenes_of_work.SCENES)


async def conform(
    command: Sequence[str],
    *,
    only: Collection[str] = (),
    work_type: str = "conformance.work",
    at_once: int = 4,
    on_scene: Callable[[Scene], None] = lambda scene: None,
) -> Findings:
    """Tries a worker program; `only` names rules, empty for all. Errors: NotFoundProgramError."""
    rules = [BY_ID[name] for name in only] if only else RULES
    findings = Findings(rules)
    wanted = {rule.id for rule in rules}
    boot_ids: set[str] = set()
    hopeless: list[NeverRegisteredError] = []
    room = asyncio.Semaphore(at_once)

    async def play(scene: Scene, folder: Path) -> None:
        async with room:
            stage = Stage(command, findings, boot_ids, work_type, folder)
            over = hopeless[0] if hopeless else await _play(scene, stage)
            if isinstance(over, NeverRegisteredError):
                hopeless.append(over)
            if over is not None:
                for rule in scene.rules:
                    findings.not_tried(rule, str(over))
            on_scene(scene)

    with tempfile.TemporaryDirectory(prefix="pullwork-conformance-") as folder:
        async with asyncio.TaskGroup() as tasks:
            for scene in SCENES:
                if wanted & set(scene.rules):
                    tasks.create_task(play(scene, _folder(folder, scene)))
    return findings


def _folder(parent: str, scene: Scene) -> Path:
    folder = Path(parent, scene.name.replace(" ", "-"))
    folder.mkdir()
    return folder


async def _play(scene: Scene, stage: Stage) -> SceneOverError | None:
    """Plays a scene; returns why it ended before its end, if it did."""
    async with staged(stage):
        try:
            await scene.play(stage)
        except SceneOverError as over:
            return over
    return None
