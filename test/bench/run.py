#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Behind `make bench`: runs the cases one after another, gathers what each reports in
# BUILD/bench.json (a list of objects), and ends with a table. Needs an otherwise idle machine.
import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DECK = "inputs/pythia-70m.yml"
CASES = [  # ranks, threads of each
    (1, 2),
    (2, 1),
]
DEMO_DECK, DEMO_DATA = "inputs/gcide.yml", "data/gcide.h5"
STARTS = 5  # the best counts: the first reads the program and the data from disk
REPORTED = (
    "case",
    "ranks",
    "threads",
    "tokens_per_second",
    "gflops",
    "gemm_gflops",
    "ratio",
    "peak_bytes",
    "phases",
)
TIMEOUT = 900  # seconds, for one run


class BenchError(Exception):
    """A run that failed, in one line."""


def run(command, **how):
    # The deck says how many threads; a setting around us must not.
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    try:
        code = subprocess.run(command, env=environment, timeout=TIMEOUT, **how).returncode
    except subprocess.TimeoutExpired:
        raise BenchError(f"not done within {TIMEOUT} s: {shlex.join(command)}") from None
    if code != 0:
        raise BenchError(f"exit code {code}: {shlex.join(command)}")


def measure(program, mpirun, ranks, threads):
    """What `trireme bench` reports of one case. Its own table goes to our output."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "case.json")
        command = [*mpirun, "-np", str(ranks), program, "bench", DECK]
        command += ["--set", f"threads_per_rank={threads}", "--json", str(report)]
        print("$", shlex.join(command), flush=True)
        run(command)
        result = json.loads(report.read_text(encoding="utf-8"))
    missing = [key for key in REPORTED if key not in result]
    if missing:
        raise BenchError(f"trireme bench did not report {', '.join(missing)}")
    return result


def measure_startup(program, mpirun):
    """Seconds from the shell to the end of a demo run of one step, on two ranks."""
    command = [*mpirun, "-np", "2", program, "train", DEMO_DECK]
    for setting in ("train_iters=1", "log_interval=1", "eval_iters=0", "save=null"):
        command += ["--set", setting]
    print("$", shlex.join(command), f"(best of {STARTS})", flush=True)
    seconds = []
    for _ in range(STARTS):
        start = time.perf_counter()
        run(command, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return {"case": "startup", "ranks": 2, "seconds": min(seconds), "all_seconds": seconds}


def print_table(results):
    rows = [("case", "ranks", "threads", "tokens/s", "GFLOP/s", "sgemm", "ratio", "peak MiB")]
    for r in results:
        if r["case"] == "startup":
            continue
        rows.append(
            (
                r["case"],
                str(r["ranks"]),
                str(r["threads"]),
                f"{r['tokens_per_second']:.0f}",
                f"{r['gflops']:.1f}",
                f"{r['gemm_gflops']:.1f}",
                f"{100 * r['ratio']:.1f} %",
                f"{r['peak_bytes'] / 2**20:.0f}",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))
    for r in results:
        if r["case"] == "startup":
            print(f"start-up to the end of step 1, {r['ranks']} ranks: {r['seconds']:.2f} s")
            continue
        total = sum(r["phases"].values()) or 1.0
        shares = [f"{name} {100 * s / total:.0f} %" for name, s in r["phases"].items() if s > 0]
        print(f"{r['ranks']} x {r['threads']}: {', '.join(shares)}")


def main():
    parser = argparse.ArgumentParser(description="Measures speed and memory.")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--mpirun", type=shlex.split, default=["mpirun"])
    options = parser.parse_args()
    program = str(options.build / "trireme")
    try:
        results = [measure(program, options.mpirun, *case) for case in CASES]
        if Path(DEMO_DATA).exists():
            results.append(measure_startup(program, options.mpirun))
        else:
            print(f"no {DEMO_DATA} (make run makes it): start-up is not measured")
        output = options.build / "bench.json"
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except (BenchError, OSError, ValueError) as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 1
    print_table(results)
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
