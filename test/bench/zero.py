#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Behind `make bench-zero`: what ZeRO's stages, overlap and half types cost or gain in a step,
# and the update's rate beside the memory's. Gathers what `trireme bench` reports in
# BUILD/bench-zero.json (a list of objects), and ends with a table. Steps of the two decks of a
# pair are taken in turn, so that other work on the machine hits both; it is better idle.
import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path

from run import DECK, BenchError, run

RANKS, TURNS = 2, 5
STAGE = "zero_optimization.stage={}"
OVERLAP_OFF = "zero_optimization.overlap_comm=false"
FP16 = ("fp16.enabled=true", "fp16.initial_scale_power=12")
PAIRS = [  # what, settings of both decks, settings of the second, the ratio to keep
    ("stage 1 : stage 0", [], [STAGE.format(1)], "≤ 1.03"),
    ("stage 2 : stage 0", [], [STAGE.format(2)], "≤ 1.03"),
    ("stage 3 : stage 0", [], [STAGE.format(3)], "≤ 1.15"),
    ("stage 0, no overlap : overlap", [], [OVERLAP_OFF], ""),
    ("stage 3, no overlap : overlap", [STAGE.format(3)], [OVERLAP_OFF], ""),
    ("bf16 : fp32", [], ["precision=bf16"], "≤ 1.25"),
    ("fp16 : fp32", [], FP16, ""),
]


def measure(program, mpirun, ranks, threads, options):
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "case.json")
        command = [*mpirun, "-np", str(ranks), program, "bench", DECK]
        command += ["--set", f"threads_per_rank={threads}", *options, "--json", str(report)]
        print("$", shlex.join(command), flush=True)
        run(command)
        return json.loads(report.read_text(encoding="utf-8"))


def measure_pair(program, mpirun, turns, pair):
    what, both, second, goal = pair
    options = ["--steps", str(turns)]
    for setting in both:
        options += ["--set", setting]
    for setting in second:
        options += ["--against", setting]
    result = measure(program, mpirun, RANKS, 1, options)
    return {"what": what, "goal": goal, **result}


def print_pairs(pairs):
    print(f"\nStep times at dp {RANKS}, median ratio of neighbours (smallest to largest):")
    for r in pairs:
        low, high = min(r["ratios"]), max(r["ratios"])
        print(f"{r['what']:<30} {r['ratio']:.3f} ({low:.3f} to {high:.3f})  {r['goal']}")
        for side in ("without", "with"):
            s = r[side]
            phases = ", ".join(f"{k} {v:.3f}" for k, v in s["phases"].items() if v > 0)
            print(f"  {side + ':':<8} {s['step_seconds']:.2f} s: {phases}")
            floor = f"{s['received_bytes'] / 1e6:.0f} MB over dp, {s['copy_seconds']:.3f} s"
            print(f"           {floor} to copy them once")
            if s["skipped"]:
                print(f"           {s['skipped']} updates skipped: compare with care")


def print_update(result):
    print(f"\nMemory and update, {result['threads']} threads, {result['elements']} elements:")
    for loop in result["loops"]:
        best, middle = max(loop["rates"]), sorted(loop["rates"])[len(loop["rates"]) // 2]
        print(
            f"{loop['name']:<28} {middle / 1e9:6.2f} GB/s (best {best / 1e9:.2f}),"
            f" {loop['bytes']} bytes an element"
        )
    for r in result["ratios"]:
        print(f"{r['update']} at {100 * r['ratio']:.0f} % of {r['loop']}")


def main():
    parser = argparse.ArgumentParser(description="Measures ZeRO, precision and the update.")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--mpirun", type=shlex.split, default=["mpirun"])
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--only", default="", help="pairs whose name has this in it")
    options = parser.parse_args()
    program = str(options.build / "trireme")
    begin = time.perf_counter()
    try:
        update = measure(program, options.mpirun, 1, 2, ["--update"])
        chosen = [p for p in PAIRS if options.only in p[0]]
        pairs = []
        for i, pair in enumerate(chosen):
            print(f"{i + 1} of {len(chosen)}, {time.perf_counter() - begin:.0f} s: {pair[0]}")
            pairs.append(measure_pair(program, options.mpirun, options.turns, pair))
        output = options.build / "bench-zero.json"
        output.write_text(json.dumps([update, *pairs], indent=1) + "\n", encoding="utf-8")
    except (BenchError, OSError, ValueError) as error:
        print(f"make bench-zero: {error}", file=sys.stderr)
        return 1
    print_update(update)
    print_pairs(pairs)
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
