#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Behind `make bench-plan`: predicted against measured step times of five shapes on two ranks of
# dp, tp and pp. Writes BUILD/bench-plan.json and ends with a table. With --fit, the rates of
# this machine are measured first and written to BUILD/machine.yml, which then serves.
import argparse
import json
import os
import shlex
import subprocess
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


def kernels_of(program, build, ranks=2):
    """Measures the kernels of a step, one process a core at a time, and returns the first's."""
    deck = [DECK, *settings("6 x 512, s 512", "dp 2")]
    reports = [Path(build, f"bench-plan-kernels{rank}.json") for rank in range(ranks)]
    commands = [[program, "bench", *deck, "--kernels", "--json", str(r)] for r in reports]
    print("$", " & ".join(shlex.join(command) for command in commands), flush=True)
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    if any([process.wait() for process in started]):
        raise BenchError("bench --kernels failed")
    return json.loads(reports[0].read_text(encoding="utf-8"))["kernels"]


def rate(kernels, groups, what):
    """Operations or bytes a second of these groups' kernels in a step."""
    chosen = [k for k in kernels if k["group"] in groups]
    seconds = sum(k["calls"] * k["seconds"] for k in chosen)
    return sum(k["calls"] * k[what] for k in chosen) / seconds


def fit(program, build):
    """What kernels of a step reach on this machine while all cores work, as a machine file."""
    kernels = kernels_of(program, build)
    gemm = rate(kernels, ("GEMMs", "head"), "operations")
    attention = rate(kernels, ("attention",), "operations")
    memory = rate(kernels, ("norms", "activation", "elementwise", "cross entropy", "update"),
                  "bytes")
    text = f"""# Two cores of this machine, a rank of one thread each, by `make bench-plan`.
# The rate in bf16 and the network are estimates.
machine:
  name: two cores of this machine
  gemm_tflops: {{fp32: {gemm / 1e12:.4f}, bf16: {gemm / 1e12 * 0.85:.4f}}}
  attention_share: {attention / gemm:.2f}
  memory_bandwidth: {memory / 1e9:.1f}
  kernel_latency: 10
  overlap: 0
  link:
    node: {{bandwidth: {memory / 1e9 / 6:.1f}, latency: 5}}
    network: {{bandwidth: 1, latency: 50}}
  ranks_per_node: {os.cpu_count()}
"""
    path = Path(build, "machine.yml")
    path.write_text(text, encoding="utf-8")
    print(text)
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
    machine = fit(program, args.build) if args.fit else args.machine
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
