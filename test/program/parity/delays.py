#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ranks that are late at random change no bit: overlapped runs with delays.c against stage 0
without delays. Meshes and stages alternate from run to run.

  delays.py [RUNS [SEED]]    # 8 by default

"""
import contextlib
import os
import random
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
import zero  # noqa: E402


LIBRARY = Path(os.environ.get(
    "TRIREME_DELAYS_LIBRARY", program.SOURCE / "build" / "test" / "libtrireme_delays.so"))
MESHES = ["dp2", "dp2_pp2", "dp4", "dp2_pp2_interleaved"]
# Open MPI 4: most bytes that a send hands over at once. With few bytes, memory stays in use
# until the receiver asks for it.
EAGER = "OMPI_MCA_btl_vader_eager_limit"
LATE = 100  # calls a rank at least, or the test tests too little


@contextlib.contextmanager
def delayed(seed):
    """Runs started within have the delaying library preloaded; the launcher itself hasn't."""
    launcher = program.MPIRUN
    program.MPIRUN = [*launcher, "-x", f"LD_PRELOAD={LIBRARY}", "-x", f"TRIREME_DELAYS={seed}"]
    if seed % 2 == 0:
        os.environ[EAGER] = "256"
    try:
        yield
    finally:
        program.MPIRUN = launcher
        os.environ.pop(EAGER, None)


def check(mesh, number, seed):
    """One run with gradient accumulation of 4."""
    stage, precision = number % 4, zero.PRECISIONS[number % 3 == 2]
    settings = {"stage": stage, **zero.LIMITS[number % 3]}
    what = f"{mesh.name} stage {stage} {precision} seed {seed}"
    expected = mesh.reference(4, precision)
    with delayed(seed):
        mesh.compare(what, expected, 4, precision, settings)
    late = [int(n) for n in re.findall(r"delays: (\d+) calls", mesh.said)]
    if len(late) != mesh.ranks or min(late) < LATE:
        mesh.wrong.append(f"{what}: calls that were late: {late}")


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"{runs} runs, seed {seed}", flush=True)
    begun = time.monotonic()
    meshes = {name: zero.Mesh(name, "delays") for name in MESHES}
    first = seed % 16
    for number in range(first, first + runs):
        check(meshes[MESHES[(number + number // 4) % 4]], number, seed + number)
    print(f"{runs} runs in {time.monotonic() - begun:.0f} s")
    failed = 0
    for mesh in meshes.values():
        print(*mesh.wrong, sep="\n", end="\n" if mesh.wrong else "")
        failed += program.finish(mesh.folder, len(mesh.wrong))
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
