#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Behind `make bench-plan`: predicted against measured step times of five shapes on two ranks of
# dp, tp and pp. Writes BUILD/bench-plan.json and ends with a table. With --fit, the rates of
# this machine are measured first and written to BUILD/machine.yml, which then serves.
import argparse
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

from run import BenchError, run

SHAPES = {  # layers, hidden, heads, sequence, micro-batch, vocabulary
    "6 x 512, s 512": (6, 512, 8, 512, 1, 50304),
    "12 x 256, s 256": (12, 256, 4, 256, 4, 4096),
    "4 x 1024, s 256": (4, 1024, 16, 256, 2, 8192),
    "8 x 512, s 1024": (8, 512, 8, 1024, 1, 8192),
    "16 x 384, s 128": (16, 384, 6, 128, 4, 16384),
}
MESHES = {
    "dp 2": {"gradient_accumulation_steps": 2},
    "tp 2": {"model_parallel_size": 2, "gradient_accumulation_steps": 2},
    "pp 2": {"pipe_parallel_size": 2, "gradient_accumulation_steps": 2},
}
DECK = "inputs/pythia-70m.yml"


def settings(shape, mesh):
    layers, hidden, heads, sequence, micro, vocabulary = SHAPES[shape]
    keys = {
        "num_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
        "seq_length": sequence, "train_micro_batch_size_per_gpu": micro,
        "vocab_size": vocabulary, "threads_per_rank": 1, "train_iters": 1, **MESHES[mesh],
    }  # fmt: skip
    return [word for k, v in keys.items() for word in ("--set", f"{k}={v}")]


def report_of(command):
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        print("$", shlex.join(command), flush=True)
        run([*command, "--json", str(report)])
        return json.loads(report.read_text(encoding="utf-8"))


def fit(program, mpirun, build):
    """The rates of this machine while all cores work, as a machine file."""
    path = Path(build, "machine.yml")
    deck = [DECK, *settings("6 x 512, s 512", "dp 2")]
    run([*mpirun, "-np", str(os.cpu_count()), program, "bench", *deck, "--machine", str(path)])
    print(path.read_text(encoding="utf-8"))
    return str(path)


def main():
    p = argparse.ArgumentParser(description="Predicted against measured step times")
    p.add_argument("--build", default="build")
    p.add_argument("--mpirun", default="mpirun")
    p.add_argument("--machine", default="inputs/machines/two-cores.yml")
    p.add_argument("--fit", action="store_true", help="measure this machine's rates first")
    p.add_argument("--steps", type=int, default=3)
    args = p.parse_args()
    program, mpirun = f"{args.build}/trireme", shlex.split(args.mpirun)
    machine = fit(program, mpirun, args.build) if args.fit else args.machine
    rows = []
    for shape in SHAPES:
        for mesh in MESHES:
            deck = [DECK, *settings(shape, mesh)]
            measured = report_of(
                [*mpirun, "-np", "2", program, "bench", *deck, "--steps", str(args.steps)]
            )
            planned = report_of([program, "plan", *deck, "--ranks", "2", "--machine", machine])
            seconds = measured["step_seconds"]
            predicted = planned["time"]["step_seconds"]
            rows.append({"shape": shape, "mesh": mesh, "measured": seconds,
                         "predicted": predicted, "phases": measured["phases"],
                         "time": planned["time"]})  # fmt: skip
    Path(args.build, "bench-plan.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print("\nshape             mesh   measured s  predicted s   error")
    for r in rows:
        error = 100 * (r["predicted"] / r["measured"] - 1)
        print(f"{r['shape']:<17} {r['mesh']:<5} {r['measured']:>11.3f} {r['predicted']:>12.3f}"
              f" {error:>+6.1f} %")  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except BenchError as e:
        sys.exit(f"bench-plan: {e}")
