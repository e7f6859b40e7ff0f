#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Behind `make bench-checkpoint`: checkpoints beside dd and memcpy. Disks of virtual machines
# change their rate by the second, so both sides take turns, and medians count, of the seconds
# and of the ratios within a turn. Gathers all in BUILD/bench-checkpoint.json and ends with a
# table. Needs an otherwise idle machine, and free: disk for the state twice, memory for it four
# times.
import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHARDS, TENSORS = 1000, 150  # of the checkpoint that is opened
OPENINGS = 5
BLOCK = 4 << 20  # dd's
FORGETTING = 50  # tries: pages that are in use just then stay
TIMEOUT = 600  # seconds, for one run
# Open MPI on fewer cores than ranks, unbound, for runs without the Makefile's own settings.
SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
}


class BenchError(Exception):
    """A run that failed, in one line."""


class Bench:
    def __init__(self, options):
        self.options = options
        self.folder = options.folder
        self.program = str(options.build / "test" / "checkpoint_bench")

    def run(self, *arguments, ranks=0):
        """What the program reports."""
        command = [self.program, *map(str, arguments)]
        if ranks:
            command = [*self.options.mpirun, "-np", str(ranks), *command]
        try:
            done = subprocess.run(
                command,
                env=SETTINGS | os.environ,
                timeout=TIMEOUT,
                check=False,
                stdout=subprocess.PIPE,
                text=True,
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"not done within {TIMEOUT} s: {shlex.join(command)}") from None
        if done.returncode != 0:
            raise BenchError(f"exit code {done.returncode}: {shlex.join(command)}")
        return json.loads(done.stdout)

    # --- writing -----------------------------------------------------------------------------

    def write(self):
        """Turns of dd and of a save, by as many processes, of as many bytes."""
        ranks, mib = self.options.ranks, self.options.mib
        turns = []
        with tempfile.NamedTemporaryFile(dir=memory_folder()) as source:
            for _ in range(mib):  # not zeros, which a disk might not write
                source.write(os.urandom(1 << 20))
            source.flush()
            for turn in range(self.options.turns):
                clear(self.folder)
                files = [self.folder / f"dd-{r}" for r in range(ranks)]
                dd = [[f"if={source.name}", f"of={f}", "conv=fsync"] for f in files]
                sides = {
                    "dd": lambda dd=dd: {"dd_seconds": run_dd([[d] for d in dd])},
                    "ours": lambda: self.run(
                        "write", self.folder, "--mib", mib, "--tensors", 4, ranks=ranks
                    ),
                }
                result = {}
                for side in sorted(sides, reverse=turn % 2 == 1):
                    os.sync()
                    result |= sides[side]()
                    for f in files:
                        f.unlink(missing_ok=True)
                turns.append(result)
                self.say("write", ranks, result)
        return {"ranks": ranks, "turns": turns}

    # --- reading -----------------------------------------------------------------------------

    def read(self, ranks, cold):
        """Turns of dd and of a load by `ranks`; the last write left a checkpoint."""
        checkpoint = self.folder / "global_step1"
        files = sorted(checkpoint.glob("shard-*.h5"))
        turns = []
        for turn in range(self.options.turns):
            sides = {
                "dd": lambda: {"dd_seconds": run_dd(reading_shares(files, ranks))},
                "ours": lambda: self.run("read", checkpoint, ranks=ranks),
            }
            result = {}
            for side in sorted(sides, reverse=turn % 2 == 1):
                if cold:
                    forget([*files, checkpoint / "checkpoint.h5"])
                result |= sides[side]()
            turns.append(result)
            self.say(f"read {'cold' if cold else 'warm'}", ranks, result)
        return {"ranks": ranks, "cold": cold, "turns": turns}

    def open(self):
        """Opens a checkpoint of many shards and reads one tensor, always in a new process."""
        clear(self.folder)
        print(f"a checkpoint of {SHARDS} shards x {TENSORS} tensors:", flush=True)
        made = self.run("crowd", self.folder, "--shards", SHARDS, "--tensors", TENSORS)
        checkpoint = self.folder / "global_step1"
        bytes_of_all = sum(f.stat().st_size for f in checkpoint.iterdir())
        openings = {"warm": [], "cold": []}
        for kind, list_of in openings.items():
            for _ in range(OPENINGS):
                if kind == "cold":
                    forget(list(checkpoint.iterdir()))
                list_of.append(self.run("open", checkpoint))
        return {"made": made, "bytes": bytes_of_all, **openings}

    @staticmethod
    def say(what, ranks, turn):
        rates = [rate(turn["bytes"], turn[key]) for key in ("seconds", "dd_seconds")]
        print(f"{what}, {ranks} ranks: {rates[0]:.2f} GB/s, dd {rates[1]:.2f} GB/s", flush=True)


def memory_folder():
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else None


def clear(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def run_dd(jobs):
    """Seconds of processes that run at once, each a list of dd's in a row."""
    lines = []
    for dds in jobs:
        line = " && ".join(shlex.join(["dd", f"bs={BLOCK}", "status=none", *d]) for d in dds)
        lines.append(line)
    start = time.perf_counter()
    running = [subprocess.Popen(["sh", "-c", line]) for line in lines]
    codes = [p.wait(TIMEOUT) for p in running]
    if any(codes):
        raise BenchError(f"dd failed: {lines[0]}")
    return time.perf_counter() - start


def reading_shares(files, ranks):
    """dd's arguments for an equal share of all bytes by each rank."""
    total = sum(f.stat().st_size for f in files)
    jobs = []
    for r in range(ranks):
        begin, end = total * r // ranks, total * (r + 1) // ranks
        at, dds = 0, []
        for f in files:
            first, last = max(begin, at), min(end, at + f.stat().st_size)
            if first < last:
                where = [f"skip={first - at}", f"count={last - first}"]
                flags = "iflag=skip_bytes,count_bytes"
                dds.append([f"if={f}", "of=/dev/null", *where, flags])
            at += f.stat().st_size
        jobs.append(dds)
    return jobs


def in_memory(file, at):
    try:
        return os.preadv(file.fileno(), [bytearray(1)], at, os.RWF_NOWAIT) == 1
    except OSError:  # it would have to wait; or the file system can't tell
        return False


def forget(files):
    """Has the system drop what it keeps of files in memory, and sees that it did."""
    for path in files:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            for _ in range(FORGETTING):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                if not in_memory(file, path.stat().st_size // 2):
                    break
                time.sleep(0.01)
            else:
                raise BenchError(f"{path}: stays in memory; nothing can be read cold here")


def rate(count, seconds):
    return count / seconds / 1e9


def summary(turns, ours="seconds", other="dd_seconds"):
    """Medians of both, the ratio of medians, the median of the turns' ratios: > 1 is faster."""
    mine = statistics.median(t[ours] for t in turns)
    theirs = statistics.median(t[other] for t in turns)
    ratios = statistics.median(t[other] / t[ours] for t in turns)
    return mine, theirs, theirs / mine, ratios


def print_table(results):
    rows = [("case", "ranks", "GB/s", "dd GB/s", "of medians", "median ratio")]
    for name, case in results["cases"].items():
        mine, theirs, of_medians, of_ratios = summary(case["turns"])
        size = case["turns"][0]["bytes"]
        row = [name, str(case["ranks"]), f"{rate(size, mine):.2f}", f"{rate(size, theirs):.2f}"]
        rows.append((*row, f"{100 * of_medians:.0f} %", f"{100 * of_ratios:.0f} %"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))
    write = results["cases"]["write"]
    stall, copy, of_medians, of_ratios = summary(
        write["turns"], "stall_seconds", "copy_seconds"
    )
    print(
        f"stall {stall:.3f} s, memcpy of the state {copy:.3f} s: x {1 / of_medians:.2f}"
        f" of medians, x {1 / of_ratios:.2f} median ratio"
    )
    for kind in ("warm", "cold"):
        opening = statistics.median(o["open_seconds"] for o in results["open"][kind])
        reading = statistics.median(o["read_seconds"] for o in results["open"][kind])
        print(
            f"{SHARDS} shards x {TENSORS} tensors, {kind}: opened in {opening:.3f} s,"
            f" one tensor read in {reading:.3f} s"
        )
    made = results["open"]["made"]
    print(
        f"to make it: {made['plan_seconds']:.1f} s to plan,"
        f" {made['save_seconds']:.1f} s to save,"
        f" {made['plan_text_bytes'] / 1e6:.1f} MB told to rank 0 once and"
        f" {made['save_text_bytes'] / 1e6:.2f} MB a save,"
        f" checkpoint.h5 {made['index_bytes'] / 1e6:.1f} MB"
    )


def main():
    parser = argparse.ArgumentParser(description="Measures checkpoints beside dd and memcpy.")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--mpirun", type=shlex.split, default=["mpirun"])
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--mib", type=int, default=512, help="a rank, in 4 tensors")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    # A folder of our own there, since it is emptied.
    options.folder = (options.folder or options.build) / "bench-checkpoint"
    bench = Bench(options)
    results = {"mib_per_rank": options.mib, "cases": {}}
    try:
        cases = results["cases"]
        cases["write"] = bench.write()
        for cold in (True, False):
            for ranks in dict.fromkeys((options.ranks, 1, 3)):
                name = f"read {'cold' if cold else 'warm'}, np {ranks}"
                cases[name] = bench.read(ranks, cold)
        results["open"] = bench.open()
        output = options.build / "bench-checkpoint.json"
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except (BenchError, OSError, ValueError) as error:
        print(f"make bench-checkpoint: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(options.folder, ignore_errors=True)
    print_table(results)
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
