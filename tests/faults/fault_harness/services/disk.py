"""A small disk for the master's data, that can be filled."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SIZE = "160m"
RESERVE_BYTES = 48 * 1024 * 1024


class Disk:
    """A file system of its own; to mount it needs root."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mount(self) -> None:
        """Makes it."""
        self.path.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(self.path)]
        subprocess.run(words, check=True, capture_output=True)

    def unmount(self) -> None:
        """Lets it go with all that is on it."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def fill(self) -> None:
        """Leaves less room than the master's reserve."""
        chunk = bytes(64 * 1024)
        with (self.path / "ballast").open("wb", buffering=0) as ballast:
            while shutil.disk_usage(self.path).free > RESERVE_BYTES // 2:
                ballast.write(chunk)

    def make_room(self) -> None:
        """Takes back what filled it."""
        (self.path / "ballast").unlink()
