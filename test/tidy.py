#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over src/, a folder at a time: the headers, in which most of its time goes, are
read once a folder instead of once a file. Files that give a name again are looked at apart
from the others. Tests are left out: they are mostly Boost's macros.

  tidy.py BUILD_FOLDER [JOBS [CHECKS]]    # CHECKS instead of those of .clang-tidy
"""
import collections
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
MOST = 16  # files at a time
# GCC looks for shadowed names, file by file: here those of one file would shadow another's.
# The pattern is what clang says where files cannot stand beside each other.
COLLISION = re.compile(
    r"^(\S+?):\d+:\d+: error: .*"
    r"(redefinition|ambiguous|redeclar|conflict|differ|no matching function)", re.M)
NOISE = re.compile(r"^\d+ (warnings?|errors?).* generated\.$|^(Suppressed|Use -)")


def united(file):
    """The sources that CMake compiles at once: TRIREME_UNITY."""
    included = re.findall(r'^#include "(.*)"$', file.read_text(encoding="utf-8"), re.M)
    return [Path(name).resolve() for name in included]


def commands(build):
    """{a file of src/: its compiler's words}, without a precompiled header."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        compiled = (Path(entry["directory"]) / entry["file"]).resolve()
        words = shlex.split(entry["command"])
        words = words[: words.index("-o")] + words[words.index("-c") :]
        for i in [i for i, w in enumerate(words) if w.endswith("cmake_pch.hxx")]:
            words[i - 1 : i + 1] = ["", ""]
        words = [w for w in words if w not in ("", "-c", str(compiled))]
        for file in united(compiled) if compiled.parent.name == "Unity" else [compiled]:
            if file.suffix == ".cpp" and SOURCE / "src" in file.parents:
                found.setdefault(file, words)
    # What stands in where a library is missing is compiled elsewhere, with no flags of its own.
    plain = next(w for f, w in sorted(found.items()) if f.parent.name == "comm")
    for file in SOURCE.glob("src/backend/**/no_*/*.cpp"):
        found.setdefault(file, plain)
    return found


def groups(files):
    """Those of a folder that are compiled alike, a few at a time."""
    alike = collections.defaultdict(list)
    for file, words in sorted(files.items()):
        alike[(file.parent, *words)].append(file)
    for members in sorted(alike.values(), key=len, reverse=True):
        for i in range(0, len(members), MOST):
            yield members[i : i + MOST]


def check(tidy, folder, files, words):
    """Whether these files are good, and what clang-tidy, a command, says of them."""
    name = "_".join(files[0].relative_to(SOURCE).with_suffix("").parts)
    together = folder / f"{name}.cpp"
    together.write_text("".join(f'#include "{f}"  // NOLINT\n' for f in files), "utf-8")
    done = subprocess.run(
        [*tidy, "--quiet", f"--config-file={SOURCE / '.clang-tidy'}", str(together), "--",
         *words[1:], "-Wno-unknown-warning-option", "-Wno-shadow"],
        capture_output=True, text=True, check=False, cwd=SOURCE)
    collisions = {Path(m[1]) for m in COLLISION.finditer(done.stdout)}
    if done.returncode != 0 and len(files) > 1 and collisions:
        apart = collisions & set(files[1:]) or set(files[1:])
        parts = [[f for f in files if (f in apart) == chosen] for chosen in (False, True)]
        results = [check(tidy, folder, part, words) for part in parts]
        return all(good for good, _ in results), "".join(text for _, text in results)
    lines = (done.stdout + done.stderr).splitlines()
    text = "".join(f"{line}\n" for line in lines if not NOISE.match(line))
    return done.returncode == 0, text


def main():
    build = Path(sys.argv[1]).resolve()
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
    folder = build / "tidy"
    folder.mkdir(exist_ok=True)
    files = commands(build)
    tidy = [os.environ.get("CLANG_TIDY", "clang-tidy-16")]
    tidy += [f"--checks=-*,{checks}" for checks in sys.argv[3:4]]
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda g: check(tidy, folder, g, files[g[0]]), groups(files)))
    for _, text in results:
        sys.stdout.write(text)
    return 0 if files and all(good for good, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
