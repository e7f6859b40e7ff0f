# SPDX-License-Identifier: Apache-2.0
"""Runs a script of tests with its files in memory, where there is room: disks that are told to
keep what was saved take most of the time of runs so small. What a failed script leaves behind
goes to FOLDER; what a good one leaves is removed.

  in_memory.py FOLDER SCRIPT arguments...
"""
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes, more than any script writes
SKIPPED = 77


def special_files(folder, names):
    """Named pipes and sockets, which cannot be copied."""
    modes = {name: os.lstat(os.path.join(folder, name)).st_mode for name in names}
    return [name for name, mode in modes.items() if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)]


def main():
    kept, command = Path(sys.argv[1]).resolve(), [sys.executable, *sys.argv[2:]]
    folder = kept
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        # Named alike each time: what a killed script left goes with the next.
        folder = MEMORY / f"trireme-tests-{hashlib.md5(bytes(kept)).hexdigest()[:12]}"
    for old in (folder, kept):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {**os.environ, "TRIREME_TEST_FOLDER": str(folder)}
    code = subprocess.run(command, env=environment, check=False).returncode
    if code not in (0, SKIPPED):
        if folder != kept:
            shutil.copytree(folder, kept, symlinks=True, ignore=special_files)
        print(f"files: {kept}")
    if code == 0 or folder != kept:
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
