#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One short visit to a machine with a GPU and CUDA, and nothing of ours: programs built
elsewhere are checked and measured there, the most telling first. Each step has a time limit
and a process of its own, so that no fault or hang costs the later ones. The report is written
anew after each step.

  lease.py --programs DIR --report OUT            DIR: trireme, test_cuda, test_cuda_mpi, ...
  lease.py --programs DIR --start ".gpu/run"      starts NP PROGRAM ARGUMENTS by this command
  lease.py --rehearse BUILD --report OUT          the same steps on the emulated GPU
  lease.py --fill OUT/lease.json                  puts the results into the table of GPUs
  lease.py --list                                 the steps and their limits

Build the programs with -DCMAKE_CUDA_ARCHITECTURES=90-real -DTRIREME_ARCH=x86-64-v3.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check  # noqa: E402

SOURCE = check.SOURCE
TABLE = SOURCE / "src/backend/cuda/README.md"
TINY = ["num_layers=1", "hidden_size=64", "num_attention_heads=2", "seq_length=32",
        "max_position_embeddings=32", "train_micro_batch_size_per_gpu=1"]
SMALL = ["num_layers=4", "hidden_size=512", "num_attention_heads=8", "seq_length=512",
         "max_position_embeddings=512", "train_micro_batch_size_per_gpu=4"]
GPT2, PYTHIA = "inputs/gpt2-124m.yml", "inputs/pythia-1.4b.yml"
GPT2_BATCH, PYTHIA_BATCH = 64, 16
# The kernels to look at with ncu, as parts of their names.
NCU_KERNELS = "forward_half|backward_half|layer_norm|cross_entropy|adam"
# Rows of the table, by the beginning of their first cell.
GEMMS, ATTENTION, OTHERS = "GEMMs by", "attention, forward", "norms, rotary"
MEMORY, GOLDEN, STAGED = "device memory", "golden models", "staged communication"
CUDNN, NCCL, GRAPHS = "attention by cuDNN", "communication by NCCL", "CUDA graphs"
TRAINING, SPEED = "training on meshes", "speed"


class Lease:
    """Makes the steps for a machine. Rehearsals have the same steps, with tiny models."""

    def __init__(self, options):
        self.options = options
        self.rehearsal = options.rehearse is not None
        folder = options.rehearse or options.programs
        self.folder, self.suffix = folder, "_emulated" if self.rehearsal else ""
        self.logs = options.report / "logs"

    def path(self, name):
        name += self.suffix
        for place in (self.folder, self.folder / "test"):
            if (place / name).is_file():
                return place / name
        return Path(name)

    def command(self, ranks, name, *arguments):
        path = self.path(name)
        if self.options.start:  # finds programs by their names
            start = [*self.options.start, ranks if ranks > 1 else 0, path.name]
        else:
            start = [path] if ranks == 1 else ["mpirun", "-np", ranks, path]
        return [*start, *arguments]

    def missing(self, name):
        if self.options.start or self.path(name).is_file():
            return lambda: ""
        return lambda: f"no {name}{self.suffix} in {self.folder}"

    def bench(self, deck, batch, *settings, steps=10):
        """`trireme bench` of a deck; a rehearsal takes a tiny model."""
        values = ["device=cuda", f"train_micro_batch_size_per_gpu={batch}", *settings]
        if self.rehearsal:
            known = {v.split("=")[0] for v in TINY}
            values = [v for v in values if v.split("=")[0] not in known]
            values += [*TINY, "vocab_size=300"]
            steps = 2
        words = [word for value in values for word in ("--set", value)]
        return ["bench", deck, "--steps", steps, *words]

    def step(self, row, name, seconds, ranks, program, *arguments, **environment):
        made = check.Step(name, self.command(ranks, program, *arguments), seconds,
                          self.missing(program), program != "trireme" and not self.rehearsal,
                          **environment)
        made.row = row
        return made

    def tool(self, row, name, seconds, tool, *words):
        """A step by a program of the machine, which may be missing. Rehearsals leave it out."""
        found = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/local/cuda/bin")
        why = "a rehearsal" if self.rehearsal else "" if found else f"no {tool}"
        made = check.Step(name, [found or tool, *words], seconds, lambda: why)
        made.row = row
        return made

    def look(self):
        yield self.tool("", "the GPU", 10, "nvidia-smi")
        yield self.step("", "the program", 20, 1, "trireme", "--version")

    def smoke(self):
        """From the least that can work upwards, each in a process of its own."""
        ladder = [("", "fp32", "precision=fp32"), ("", "bf16", "precision=bfloat16"),
                  (CUDNN, "cuDNN", "precision=bfloat16 attention_kernel=cudnn"),
                  (NCCL, "NCCL of one rank", "communication=nccl"),
                  (GRAPHS, "graphs", "precision=bfloat16 cuda_graphs=true "
                   "gradient_accumulation_steps=4")]
        for row, name, settings in ladder:
            if self.rehearsal and row == CUDNN:
                continue  # the emulated GPU has none
            words = self.bench(GPT2, 2, *SMALL, *settings.split(), steps=3)
            yield self.step(row, f"smoke: {name}", 40, 1, "trireme", *words)
        words = self.bench(GPT2, 2, *SMALL, "communication=staged", steps=3)
        yield self.step(STAGED, "smoke: two ranks, staged", 60, 2, "trireme", *words)

    def suites(self):
        """The tests of kernels: a process a suite, so that one sticky error loses no more."""
        rows = {"cuda_gemm": GEMMS, "attention": ATTENTION, "cuda_device": MEMORY}
        names = list_suites(self.command(1, "test_cuda"))
        chosen = names[:3] if self.rehearsal else names
        for name in chosen:
            yield self.step(rows.get(name, OTHERS), f"kernels: {name}", 90, 1, "test_cuda",
                            f"--run_test={name}")

    def ranks(self):
        tests = {"TRIREME_TEST_DIR": str(SOURCE / "test")}
        yield self.step(GOLDEN, "golden models", 90, 1, "test_cuda_golden", **tests)
        counts = (2,) if self.rehearsal else (1, 2, 4)
        for n in counts:
            yield self.step(STAGED, f"communication of {n}", 60, n, "test_cuda_mpi", **tests)

    def training(self):
        """A text of the project, a hundred steps in two precisions, and a restart."""
        tokens = self.logs / "tokens.h5"
        yield self.step("", "tokens", 30, 1, "trireme", "prepare", "--input",
                        SOURCE / "inputs/README.md", "--output", tokens, "--overwrite",
                        "--document-separator", "\\n\\n")
        steps = 4 if self.rehearsal else 100
        shape = TINY if self.rehearsal else SMALL
        runs = {"fp32": ["precision=fp32"], "bf16": ["precision=bfloat16"],
                "again": ["precision=fp32", f"load={self.logs / 'fp32'}",
                          f"iteration={steps // 2}"]}
        for name, settings in runs.items():
            values = ["device=cuda", "train_batch_size=null", "gradient_accumulation_steps=1",
                      *shape, f"data_path={tokens}", "vocab_file=null", f"train_iters={steps}",
                      f"save={self.logs / name}", f"checkpoint_factor={steps // 2}",
                      "split=90, 10, 0", "log_interval=1", "lr=1e-3", "overwrite=true",
                      f"lr_decay_iters={steps}", "eval_interval=0", "attention_dropout=0",
                      "hidden_dropout=0", *settings]
            words = [word for value in values for word in ("--set", value)]
            yield self.step(TRAINING, f"training: {name}", 60, 1, "trireme", "train", GPT2,
                            *words)
        for name, within in (("bf16", 0.05), ("again", 0.0)):
            made = check.Step(f"losses: {name} beside fp32",
                              [sys.executable, __file__, "--losses", self.logs / "fp32",
                               self.logs / name, within], 10)
            made.row = TRAINING
            yield made

    def kernels(self):
        for deck, batch in ((GPT2, GPT2_BATCH), (PYTHIA, PYTHIA_BATCH)):
            words = self.bench(deck, batch, "precision=bfloat16", steps=1)
            words = [words[0], words[1], "--kernels", *words[4:]]
            yield self.step(SPEED, f"each kernel, {Path(deck).stem}", 60, 1, "trireme", *words)
            yield self.step(SPEED, f"each kernel, {Path(deck).stem}, bias gradients apart", 60,
                            1, "trireme", *words,
                            TRIREME_CUDA_TUNING="bias_gradient_epilogue=0")

    def speed(self):
        variants = {"own attention": ["attention_kernel=own"],
                    "cuDNN": ["attention_kernel=cudnn"],
                    "search of GEMMs": ["gemm_autotune=true"],
                    "graphs": ["cuda_graphs=true", "gradient_accumulation_steps=4"]}
        for name, settings in variants.items():
            if self.rehearsal and name == "cuDNN":
                continue
            words = self.bench(GPT2, GPT2_BATCH, "precision=bfloat16", *settings)
            yield self.step(SPEED, f"speed: GPT-2, {name}", 60, 1, "trireme", *words)
        for length, batch in ((2048, PYTHIA_BATCH), (4096, PYTHIA_BATCH // 2)):
            words = self.bench(PYTHIA, batch, "precision=bfloat16", f"seq_length={length}",
                               f"max_position_embeddings={length}")
            yield self.step(SPEED, f"speed: Pythia 1.4B, {length} tokens", 80, 1, "trireme",
                            *words)

    def peers(self):
        peer = SOURCE / "test/bench/peer_pytorch_gpu.py"
        for model, batch in (("gpt2-124m", GPT2_BATCH), ("pythia-1.4b", PYTHIA_BATCH)):
            yield self.tool("", f"PyTorch: {model}", 110, "python3", peer, "--model", model,
                            "--micro-batch", batch, "--weights", "masters", "--steps", 10)

    def tools(self):
        words = self.bench(GPT2, GPT2_BATCH, "precision=bfloat16", steps=1)
        yield self.tool("", "ncu", 60, "ncu", "--kernel-name", f"regex:{NCU_KERNELS}",
                        "--launch-count", 5, "--set", "full",
                        *self.command(1, "trireme", *words))
        for kind in ("racecheck", "memcheck"):
            test = self.command(1, "test_cuda", "--run_test=attention,qk_norm")
            yield self.tool(ATTENTION, f"sanitizer: {kind}", 90, "compute-sanitizer", "--tool",
                            kind, "--error-exitcode", 1, *test)

    def steps(self):
        """Groups in order. The steps of a group with more than one worker run beside each
        other."""
        return [("look", 1, list(self.look())), ("smoke", 1, list(self.smoke())),
                ("suites", 1 if self.rehearsal else 8, list(self.suites())),
                ("ranks", 1, list(self.ranks())),
                ("training", 1, list(self.training())), ("kernels", 1, list(self.kernels())),
                ("speed", 1, list(self.speed())), ("peers", 1, list(self.peers())),
                ("tools", 1, list(self.tools()))]


def list_suites(command):
    """The names at the top level of a Boost test program; none if it can't be run."""
    try:
        done = subprocess.run([*map(str, command), "--list_content=HRF"], capture_output=True,
                              text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.rstrip("*") for line in done.stderr.splitlines()
            if line.endswith("*") and line[0].strip()]


class Report:
    """What came of each step, in lease.json and lease.md."""

    def __init__(self, folder, about):
        self.folder, self.about, self.rows = folder, about, []
        self.began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, step):
        self.rows.append({"step": step.name, "row": step.row, "verdict": step.verdict,
                          "seconds": round(step.took, 1), "why": step.why,
                          "command": step.line() if step.command else ""})
        took = f"{step.took:.1f} s{', ' + step.why if step.why else ''}"
        print(f"[{time.monotonic() - self.began:5.0f} s] {step.verdict} {step.name} ({took})",
              flush=True)
        self.write()

    def write(self):
        content = {"about": self.about, "date": time.strftime("%Y-%m-%d", time.gmtime()),
                   "steps": self.rows}
        (self.folder / "lease.json").write_text(json.dumps(content, indent=1) + "\n")
        lines = ["# A visit to a GPU", "", *self.about, "",
                 "| step | verdict | seconds | remark |", "|---|---|---:|---|"]
        for r in self.rows:
            lines.append(f"| {r['step']} | {r['verdict']} | {r['seconds']} | {r['why']} |")
        for r in self.rows:
            log = self.folder / "logs" / log_name(r["step"])
            lines += ["", f"## {r['step']}", "", "```", check.tail(log, 40), "```"]
        (self.folder / "lease.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def log_name(step):
    return "".join(c if c.isalnum() else "-" for c in step) + ".log"


def run_all(options):
    lease = Lease(options)
    lease.logs.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.seconds
    report = Report(options.report, [f"- {line}" for line in about(lease)])
    report.write()
    for group, workers, steps in lease.steps():
        if options.only and group not in options.only:
            continue
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            def run(step):
                left = end - time.monotonic()
                if left < 5:
                    step.verdict, step.why = "skip", "no time was left"
                    return step
                step.seconds = min(step.seconds, left)
                step.run(lease.logs / log_name(step.name))
                return step

            for done in concurrent.futures.as_completed([pool.submit(run, s) for s in steps]):
                report.add(done.result())
    failed = [r["step"] for r in report.rows if r["verdict"] == "fail"]
    print(f"{len(report.rows)} steps, {len(failed)} failed"
          f"{': ' + ', '.join(failed) if failed else ''}; {options.report}/lease.md")
    return 1 if failed else 0


def about(lease):
    if lease.rehearsal:
        yield "a rehearsal on the emulated GPU"
        return
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total",
             "--format=csv,noheader"]
    yield f"GPU: {check.output(query) or 'unknown'}"
    version = check.output(list(map(str, lease.command(1, "trireme", "--version"))))
    yield f"program: {', '.join(version.splitlines()) or 'unknown'}"


def compare_losses(ours, theirs, within):
    """The last training losses of two runs, by their logs."""
    found = []
    for run in (ours, theirs):
        text = (Path(run) / "log.txt").read_text(encoding="utf-8")
        losses = re.findall(r"^iteration +\d+/\d+ \| loss ([\d.]+)", text, re.MULTILINE)
        if not losses:
            sys.exit(f"{run}: no loss in its log")
        found.append(float(losses[-1]))
    print(f"last losses {found[0]} and {found[1]}")
    return 0 if abs(found[0] - found[1]) <= float(within) else 1


def fill(report):
    """Puts verdicts into the second column of the table."""
    content = json.loads(report.read_text(encoding="utf-8"))
    gpu = next((line for line in content["about"] if "GPU:" in line), "")
    if not gpu:
        sys.exit(f"{report}: a rehearsal says nothing of GPUs")
    name = gpu.split("GPU:")[1].split(",")[0].strip()
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(lines):
        steps = [s for s in content["steps"]
                 if s["row"] and line.startswith(f"| {s['row']}") and s["verdict"] != "skip"]
        if not steps:
            continue
        bad = [s["step"] for s in steps if s["verdict"] != "pass"]
        passed = "1 step passed" if len(steps) == 1 else f"{len(steps)} steps passed"
        verdict = f"failed: {', '.join(bad)}" if bad else passed
        cells = line.split("|")
        cells[2] = f" {name}, {content['date']}, `test/gpu/lease.py`: {verdict} "
        lines[i] = "|".join(cells)
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def parse(arguments):
    parser = argparse.ArgumentParser(description="One short visit to a machine with a GPU.")
    parser.add_argument("--programs", type=Path, help="folder of the programs")
    parser.add_argument("--start", type=shlex.split, default=[],
                        help="command before NP PROGRAM ARGUMENTS; NP 0 is no mpirun")
    parser.add_argument("--report", type=Path, default=Path("lease"), help="folder")
    parser.add_argument("--seconds", type=float, default=560, help="for everything together")
    parser.add_argument("--only", action="append", default=[], help="a group of steps")
    parser.add_argument("--rehearse", type=Path, metavar="BUILD")
    parser.add_argument("--fill", type=Path, metavar="REPORT")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(arguments)
    if not options.fill and not options.programs and not options.rehearse:
        parser.error("--programs, --rehearse or --fill is needed")
    for name in ("programs", "rehearse", "report"):
        if getattr(options, name):
            setattr(options, name, getattr(options, name).resolve())
    return options


def main():
    if sys.argv[1:2] == ["--losses"]:
        return compare_losses(*sys.argv[2:5])
    options = parse(sys.argv[1:])
    if options.fill:
        return fill(options.fill)
    if options.list:
        for group, workers, steps in Lease(options).steps():
            for step in steps:
                print(f"{group}: {step.name}, {step.seconds} s: {step.line()}")
        return 0
    return run_all(options)


if __name__ == "__main__":
    sys.exit(main())
