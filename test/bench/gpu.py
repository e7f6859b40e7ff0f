#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Behind `make gpu-bench`: Trireme and PyTorch in turn on one GPU, on the same models, each at
its best of the largest micro-batch that fits and the largest power of two; and the time of each
of Trireme's kernels beside its floor. To BUILD/gpu-bench.json and BUILD/gpu-bench.md.

Without torch in Python (--peer-python names another) Trireme is measured alone, and the exit
code is 1 all the same: a bench without its peer isn't one.
"""
import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import gpu_cases
import gpu_driver

SOURCE = Path(__file__).resolve().parents[2]
TIMEOUT = 3600  # seconds, for one run
SEARCH_STEPS = 3
ROOT = {  # Open MPI as root, versions 4 and 5
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}


class BenchError(Exception):
    """A run that failed, in one line."""


class NoMemory(Exception):
    """A run that the GPU has no memory for."""


def run(command, timeout=TIMEOUT):
    """What a command prints, which must end well."""
    print("$", shlex.join(command), flush=True)
    with subprocess.Popen(
        command,
        cwd=SOURCE,
        env={**os.environ, **ROOT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                told = f"not done within {timeout} s: {shlex.join(command)}"
                raise BenchError(told) from None
            raise
    if process.returncode == 0:
        return out
    if "out of memory" in (out + err).lower():
        raise NoMemory
    last = (err.strip() or out.strip()).splitlines()
    told = next((x for x in last if "trireme: error: " in x), last[-1] if last else "")
    raise BenchError(f"exit code {process.returncode}: {shlex.join(command)}: {told}")


class Trireme:
    def __init__(self, options):
        self.command = [*options.mpirun, "-np", "1", str(options.program.resolve()), "bench"]
        self.settings = ["device=cuda", *options.set]

    def bench(self, model, micro_batch, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.json")
            command = [*self.command, gpu_cases.MODELS[model]["deck"], "--json", str(report)]
            for setting in (f"train_micro_batch_size_per_gpu={micro_batch}", *self.settings):
                command += ["--set", setting]
            run([*command, *map(str, arguments)])
            return json.loads(report.read_text(encoding="utf-8"))

    def steps(self, model, micro_batch, steps):
        """One measurement, in the words that the peer uses too."""
        report = self.bench(model, micro_batch, "--steps", steps)
        return {
            "micro_batch": micro_batch,
            "tokens_per_second": report["tokens_per_second"],
            "step_seconds": report["step_seconds"],
            "peak_bytes": max(report["device_peak_bytes"]),
            "reserved_bytes": max(report["device_reserved_bytes"]),
            "matrix_rate": report["gemm_gflops"] * 1e9,
            "device": report["device"],
            "phases": report["phases"],
        }

    def search(self, model, room, start, steps):
        """The faster one of the largest micro-batch and the largest power of two."""
        found = {}

        def peak_of(n):
            try:
                found[n] = self.steps(model, n, SEARCH_STEPS)
            except NoMemory:
                print("  out of memory", flush=True)
                return None
            print(f"  {found[n]['tokens_per_second']:.0f} tokens/s", flush=True)
            return found[n]["peak_bytes"]

        largest = gpu_cases.largest_fitting(peak_of, room, start)
        if largest == 0:
            raise BenchError(f"{model}: not even one sample fits")
        power = 1 << (largest.bit_length() - 1)
        results = [self.steps(model, n, steps) for n in sorted({largest, power})]
        return max(results, key=lambda r: r["tokens_per_second"])


class Peer:
    def __init__(self, options):
        self.command = [*options.peer_python, str(SOURCE / "test/bench/peer_pytorch_gpu.py")]
        self.command += ["--compiler", options.peer_compiler]
        self.about = None

    def run(self, model, steps, *arguments):
        """Its measurements; what it says of itself is kept."""
        command = [*self.command, "--model", model, "--steps", str(max(10, steps))]
        results = []
        for line in run([*command, *map(str, arguments)], 3 * TIMEOUT).splitlines():
            if not line.startswith("{"):
                continue
            figures = json.loads(line)
            if "torch" in figures:
                self.about = figures
            elif not figures.get("out_of_memory"):
                results.append(figures)
        return results

    def search(self, model, start, steps):
        results = self.run(model, steps, "--start", start)
        if not results:
            raise BenchError(f"{model}: PyTorch has no memory for one sample")
        return results

    def again(self, model, best, steps):
        (result,) = self.run(
            model, steps, "--weights", best["weights"], "--micro-batch", best["micro_batch"]
        )
        return result


def fastest(results):
    return max(results, key=lambda r: r["tokens_per_second"])


def middle(turns):
    """Of turns on one configuration: the one of the median speed."""
    return sorted(turns, key=lambda r: r["tokens_per_second"])[len(turns) // 2]


def measure(model, trireme, peer, options):
    """Everything about one model; what fails is said under "errors"."""
    result = {"model": model, "trireme": [], "peer": [], "errors": []}

    def attempt(what, f):
        try:
            return f()
        except NoMemory:
            result["errors"].append(f"{what}: out of memory")
        except (BenchError, OSError, ValueError, KeyError) as error:
            result["errors"].append(f"{what}: {error}")
        print("  failed:", result["errors"][-1], flush=True)
        return None

    room = options.room - (1 << 30)  # less what CUDA itself takes
    own = attempt(
        "Trireme", lambda: trireme.search(model, room, options.start, options.steps)
    )
    others = None
    if peer:
        others = attempt("PyTorch", lambda: peer.search(model, options.start, options.steps))
    best = fastest(others) if others else None
    result["peer_search"] = others or []
    for _ in range(options.turns):
        if own:
            n = own["micro_batch"]
            turn = attempt("Trireme", lambda: trireme.steps(model, n, options.steps))
            result["trireme"] += [turn] if turn else []
        if best:
            turn = attempt("PyTorch", lambda: peer.again(model, best, options.steps))
            result["peer"] += [turn] if turn else []
    if own:
        n = own["micro_batch"]
        result["kernels"] = attempt("kernels", lambda: trireme.bench(model, n, "--kernels"))
    return summarize(result)


def summarize(result):
    """Adds speeds, their ratio, MFU and memory."""
    shape = gpu_cases.MODELS[result["model"]]
    result["ratio"] = None
    for side in ("trireme", "peer"):
        result[f"{side}_mfu"] = None
    if not result["trireme"]:
        return result
    own = middle(result["trireme"])
    peak = gpu_cases.peak_rate(own["device"])
    result["peak_is_measured"] = peak is None
    result["peak_rate"] = peak or own["matrix_rate"]
    for side in ("trireme", "peer"):
        if result[side]:
            speed = middle(result[side])["tokens_per_second"]
            result[f"{side}_mfu"] = gpu_cases.mfu(shape, speed, result["peak_rate"])
    if result["peer"]:
        theirs = middle(result["peer"])["tokens_per_second"]
        result["ratio"] = own["tokens_per_second"] / theirs
    return result


# --- the report ------------------------------------------------------------------------------


def table(head, rows):
    """Markdown; the first column is words, the others are figures."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def percent(value):
    return "–" if value is None else f"{100 * value:.1f} %"


def side_cells(result, side):
    """Micro-batch, tokens/s, MFU, peak GiB."""
    if not result[side]:
        return ["–"] * 4
    r = middle(result[side])
    return [
        str(r["micro_batch"]),
        f"{r['tokens_per_second']:.0f}",
        percent(result[f"{side}_mfu"]),
        f"{r['peak_bytes'] / 2**30:.2f} ({r['reserved_bytes'] / 2**30:.2f})",
    ]


def kernel_tables(result):
    kernels = result.get("kernels")
    if not kernels:
        return []
    step = middle(result["trireme"])["step_seconds"] if result["trireme"] else None
    rows = []
    for g in kernels["groups"]:
        share = g["seconds"] / step if step else None
        ms, floor = 1e3 * g["seconds"], 1e3 * g["floor_seconds"]
        rows.append(
            [g["group"], f"{ms:.2f}", f"{floor:.2f}", percent(floor / ms), percent(share)]
        )
    lines = [
        f"### Kernels of {result['model']}",
        "",
        f"{kernels['case']}; products {kernels['operations_per_second'] * 1e-12:.0f} TFLOP/s, "
        f"copies {kernels['bytes_per_second'] * 1e-9:.0f} GB/s read and written. Floor: "
        "operations or bytes (each array read once and written once) at these rates.",
        "",
        *table(["group", "ms a step", "floor", "of floor", "of the step"], rows),
    ]
    rows = [
        [
            k["name"],
            str(k["calls"]),
            f"{1e6 * k['seconds']:.1f}",
            f"{1e6 * k['floor_seconds']:.1f}",
            percent(k["of_floor"]),
        ]
        for k in kernels["kernels"]
    ]
    return lines + table(["kernel", "calls", "us a call", "floor", "of floor"], rows)


def markdown(report):
    about = report.get("peer")
    lines = ["## Speed on a GPU", "", f"GPU: {report['device']}."]
    if about:
        lines.append(f"Peer: PyTorch {about['torch']}, CUDA {about['cuda']}.")
    else:
        lines.append("Peer: PyTorch was not found, so nothing is compared.")
    lines += [
        "MFU: 6 · (parameters outside the embedding tables) + 12 · layers · hidden · sequence "
        "operations a token. Memory: most in use (and reserved) at a time.",
        "",
    ]
    side = ["micro-batch", "tokens/s", "MFU", "GiB"]
    sides = [f"{name}: {c}" for name in ("Trireme", "PyTorch") for c in side]
    head = ["model", *sides, "ratio"]
    rows = []
    for r in report["models"]:
        ratio = "–" if r["ratio"] is None else f"{r['ratio']:.3f}"
        cells = [*side_cells(r, "trireme"), *side_cells(r, "peer"), ratio]
        rows.append([r["model"], *cells])
    lines += table(head, rows)
    for r in report["models"]:
        if r.get("peak_is_measured"):
            rate = r["peak_rate"] * 1e-12
            lines.append(f"{r['model']}: MFU against the measured {rate:.0f} TFLOP/s.")
        for p in r.get("peer_search", []):
            lines.append(
                f"- {r['model']}, PyTorch, {p['weights']}, micro-batch {p['micro_batch']}: "
                f"{p['tokens_per_second']:.0f} tokens/s, {p['peak_bytes'] / 2**30:.2f} GiB"
            )
        lines += [f"- {r['model']}: FAILED: {e}" for e in r["errors"]]
    lines.append("")
    for r in report["models"]:
        lines += kernel_tables(r)
    return "\n".join(lines) + "\n"


def write(report, build):
    build.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1) + "\n"
    (build / "gpu-bench.json").write_text(text, encoding="utf-8")
    (build / "gpu-bench.md").write_text(markdown(report), encoding="utf-8")


def has_torch(python):
    command = [*python, "-c", "import torch; assert torch.cuda.is_available()"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def parse(arguments):
    parser = argparse.ArgumentParser(description="Trireme beside PyTorch on one GPU.")
    parser.add_argument("--build", type=Path, default=Path("build"), help="for the report")
    parser.add_argument("--program", type=Path, help="default: BUILD/trireme")
    parser.add_argument("--mpirun", type=shlex.split, default=["mpirun"])
    parser.add_argument("--models", default=",".join(gpu_cases.MODELS), help="A,B,...")
    parser.add_argument("--turns", type=int, default=2, help="of both, one after the other")
    parser.add_argument("--steps", type=int, default=12, help="of a measurement")
    parser.add_argument("--start", type=int, default=8, help="micro-batch that is tried first")
    parser.add_argument("--set", action="append", default=[], help="key=value, for Trireme")
    parser.add_argument("--peer-python", type=shlex.split, default=[sys.executable])
    parser.add_argument("--peer-compiler", default="default", help="mode of torch.compile")
    options = parser.parse_args(arguments)
    options.program = options.program or options.build / "trireme"
    options.models = options.models.split(",")
    unknown = [m for m in options.models if m not in gpu_cases.MODELS]
    if unknown:
        parser.error(f"no model {unknown[0]}: {', '.join(gpu_cases.MODELS)}")
    for name in ("turns", "steps", "start"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: at least 1")
    return options


def main():
    options = parse(sys.argv[1:])
    if not options.program.is_file():
        print(f"make gpu-bench: no program {options.program}", file=sys.stderr)
        return 1
    try:
        gpu = gpu_driver.find()["gpus"][0]
    except gpu_driver.NoGpu as error:
        print(f"make gpu-bench: it needs a GPU: {error}", file=sys.stderr)
        return 1
    options.room = gpu["bytes"]
    about = subprocess.run(
        [str(options.program.resolve()), "--version"], capture_output=True, text=True
    ).stdout
    peer = Peer(options) if has_torch(options.peer_python) else None
    if peer is None:
        python = shlex.join(options.peer_python)
        print(f"make gpu-bench: {python} has no torch that sees a GPU; Trireme alone")
    trireme = Trireme(options)
    report = {"version": about.splitlines(), "device": gpu["name"], "peer": None, "models": []}
    for model in options.models:
        result = measure(model, trireme, peer, options)
        report["models"].append(result)
        report["peer"] = peer and peer.about
        write(report, options.build)  # what there is, should the next one never end
    print(markdown(report))
    print(options.build / "gpu-bench.json")
    failed = [e for r in report["models"] for e in r["errors"]]
    for error in failed:
        print(f"make gpu-bench: {error}", file=sys.stderr)
    return 1 if failed or peer is None else 0


if __name__ == "__main__":
    sys.exit(main())
