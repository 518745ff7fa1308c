"""Makes one checksum of many files; what is done is not done again after a worker's death."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pullwork import current, task


@task(type="checksums.digest", progress_timeout=300)
def digest_files(paths: list[str]) -> dict[str, str]:
    """Returns each file's SHA-256; goes on where an earlier attempt came to."""
    me = current()
    digests: dict[str, str] = json.loads(me.checkpoint or b"{}")
    for done, path in enumerate(paths):
        me.raise_if_cancelled()
        if path in digests:
            continue
        # Files may be large: read them piece by piece, not whole into memory.
        with Path(path).open("rb") as file:
            digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        me.save_checkpoint(json.dumps(digests).encode())
        me.progress((done + 1) / len(paths), path)
    return digests
