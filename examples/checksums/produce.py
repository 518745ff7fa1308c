"""Submits one task for the files of a folder, and prints their checksums.

pullwork master                                 # in one terminal
pullwork worker --tasks checksum_tasks          # in others, in this folder
python produce.py DIR
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from checksum_tasks import digest_files

from pullwork import Client


async def main(paths: list[str]) -> None:
    """Prints what `sha256sum` would."""
    async with Client() as client:
        handle = await client.submit(digest_files.with_args(paths))
        for path, digest in (await handle.result()).items():
            print(f"{digest}  {path}")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    asyncio.run(main([str(it.resolve()) for it in sorted(folder.iterdir()) if it.is_file()]))
