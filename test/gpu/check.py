#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Behind `make gpu-check`, for a machine with a GPU: builds, tests and benches everything
there and writes what came of it to BUILD/gpu-report.md. One step's failure doesn't end the
others; the exit code is 1 if any failed.

  check.py                       all of it
  check.py --programs DIR        with programs built elsewhere: DIR has trireme, and
                                 test_cuda* there or in DIR/test; no compiler is needed
  check.py --list                the steps; --only and --skip take parts of their names
"""
import argparse
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "test" / "bench"))
sys.dont_write_bytecode = True
import gpu_driver  # noqa: E402

NO_GPU = re.compile(r"skipped: no GPU|\(Skipped\)")  # by test_cuda*, by CTest
SKIPPED = 77  # a test's exit code where it finds nothing to test on
ENVIRONMENT = {  # Open MPI as root, with fewer cores than ranks, unbound: versions 4 and 5
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# Arrays of more than 2^31 elements, too, and all combinations of shapes and types.
LARGE = {"TRIREME_LARGE_TESTS": "1", "TRIREME_WHOLE_PRODUCTS": "1"}
SANITIZERS = ["memcheck", "racecheck", "initcheck", "synccheck"]
# Classes of scripts in test/program; their others are for the emulated GPU alone.
GPU_CASES = {
    "Agreement": "one rank beside one on the CPU",
    "FiftySteps": "losses within 1e-4 in fp32, 2e-2 in bf16",
    "Meshes": "ranks beside one, again bit for bit, by NCCL bit for bit",
    "Stages": "ZeRO changes no bit",
    "Restart": "checkpoints from CPU to GPU and back",
}
GRAPH_CASES = {
    "Graphs": "CUDA graphs change no bit",
    "GraphsRestart": "nor beside checkpoints",
    "GraphsNotFinite": "nor what is said of losses that are not finite",
}
COPY_CASES = {
    "Inputs": "layers' inputs in pinned memory change no bit",
    "Saves": "nor do three ways of saving",
}
SCRIPTS = {"gpu/gpu.py": GPU_CASES, "gpu/gpu_graphs.py": GRAPH_CASES,
           "gpu/gpu_copies.py": COPY_CASES}
# Suites of test/program that say nothing of CPUs, and their cases: one rank, then ranks that
# share the GPU.
PARITY = [
    ("references", 1),
    ("dp2", 2),
    ("tp2_sp", 2),
    ("pp2_interleaved", 2),
    ("dp4", 4),
    ("tp4", 4),
    ("pp4", 4),
    ("dp2_tp2", 4),
    ("dp2_tp2_pp2", 8),
    ("dp2_tp2_pp2_interleaved_sp", 8),
    ("initial_weights", 8),
]
ZERO = ["dp2", "dp4", "dp2_tp2_sp", "dp2_pp2", "dp2_tp2_pp2"]
RESTART = ["OneRank", "TwoRanks", "EightRanks"]


class Step:
    """A command. `missing` says why it can't be run, "" if it can, once its turn has come. One
    with `needs_gpu` that finds none has failed, for there is one."""

    def __init__(
        self,
        name,
        command=(),
        seconds=1800,
        missing=lambda: "",
        needs_gpu=False,
        **environment,
    ):
        self.name, self.command, self.seconds = name, list(map(str, command)), seconds
        self.missing, self.needs_gpu, self.environment = missing, needs_gpu, environment
        self.verdict, self.took, self.why, self.log = "", 0.0, "", None

    def line(self):
        """As one would type it."""
        settings = [f"{k}={shlex.quote(v)}" for k, v in self.environment.items()]
        return " ".join([*settings, shlex.join(self.command)])

    def run(self, log):
        """To its end or its time's; never raises."""
        self.log = log
        missing = self.missing()
        if missing:
            self.verdict, self.why = "skip", missing
            return
        begin = time.monotonic()
        try:
            code = self.execute(log)
            self.verdict = {0: "pass", SKIPPED: "skip"}.get(code, "fail")
            self.why = "" if code == 0 else f"exit code {code}"
            if self.needs_gpu and NO_GPU.search(log.read_text(errors="replace")):
                self.verdict, self.why = "fail", "its tests found no GPU that they can use"
        except subprocess.TimeoutExpired:
            self.verdict, self.why = "fail", f"not done within {self.seconds} s"
        except OSError as error:
            self.verdict, self.why = "fail", str(error)
        self.took = time.monotonic() - begin

    def execute(self, log):
        environment = {**os.environ, **ENVIRONMENT, **self.environment}
        with log.open("w", encoding="utf-8") as file:
            file.write(f"$ {self.line()}\n")
            file.flush()
            process = subprocess.Popen(
                self.command,
                cwd=SOURCE,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return process.wait(self.seconds)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise


def find_tests(folder):
    """{name: path} of the native test programs."""
    found = {}
    for place in (folder, folder / "test"):
        for path in sorted(place.glob("test_cuda*")):
            if path.is_file() and os.access(path, os.X_OK) and "emulated" not in path.name:
                found[path.name] = path
    return found


def build_steps(options):
    if options.programs:
        return []
    options.build.mkdir(parents=True, exist_ok=True)
    configure = ["cmake", "-S", SOURCE, "-B", options.build, "-DTRIREME_CUDA=ON"]
    configure += [f"-DPython3_EXECUTABLE={sys.executable}", *options.cmake_args]
    if shutil.which("ninja") and not (options.build / "CMakeCache.txt").exists():
        configure += ["-G", "Ninja"]
    make = ["cmake", "--build", options.build, "--parallel", options.jobs]
    return [Step("configure", configure), Step("build", make, 3 * 3600)]


def native_steps(options):
    """The kernels, the device and exchanges by test programs of their own."""
    if not options.programs:
        ctest = ["ctest", "--test-dir", options.build, "-L", "cuda", "--output-on-failure"]
        ctest.append("--no-tests=error")
        return [Step("native tests", ctest, 2 * 3600, needs_gpu=True, **LARGE)]
    tests = find_tests(options.programs)
    if not tests:
        return [Step("native tests", missing=lambda: f"no test_cuda* in {options.programs}")]
    steps = []
    for name, path in tests.items():
        for ranks in [1, 2, 4] if name.endswith(("_mpi", "_golden")) else [1]:
            command = [*options.mpirun, "-np", ranks, path]
            full_name = f"native tests, {name}, np {ranks}"
            settings = {**LARGE, "TRIREME_TEST_DIR": str(SOURCE / "test")}
            steps.append(Step(full_name, command, 3600, needs_gpu=True, **settings))
    return steps


def sanitizer_steps(options):
    """The same kernels' tests under each tool, one process."""
    folder = options.programs or options.build
    tool = options.sanitizer or shutil.which("compute-sanitizer")
    if tool is None:
        places = ["/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer"]
        tool = shutil.which("compute-sanitizer", path=os.pathsep.join(places))
    test = find_tests(folder).get("test_cuda", folder / "test" / "test_cuda")

    def missing():
        if not tool:
            return "no compute-sanitizer on the path or in /usr/local/cuda"
        return "" if Path(test).is_file() else f"no {test}"

    steps = []
    for kind in SANITIZERS:
        command = [*options.mpirun, "-np", 1, tool or "compute-sanitizer", "--tool", kind]
        command += ["--error-exitcode", 1, test]
        seconds = options.sanitizer_seconds
        steps.append(Step(f"sanitizer, {kind}", command, seconds, missing, needs_gpu=True))
    return steps


def program_steps(options):
    """The built program from outside: what the suites ask of it on CPUs, on one GPU."""
    program = (options.programs or options.build) / "trireme"
    mpirun = shlex.join(options.mpirun)
    tests = SOURCE / "test" / "program"
    folder = str(options.build / "gpu-check" / "runs")
    environment = {"TRIREME": str(program), "TRIREME_MPIRUN": mpirun}
    environment.update(TRIREME_TEST_FOLDER=folder, CUDA_VISIBLE_DEVICES=options.gpu)

    def lacks():
        modules = [m for m in ("h5py", "numpy") if importlib.util.find_spec(m) is None]
        return f"{sys.executable} has no {' and no '.join(modules)}" if modules else ""

    def lacks_nccl():
        told = output([str(program), "--version"])
        return lacks() or ("" if "NCCL" in told else "the program was built without NCCL")

    def suite(name, script, case, settings="device=cuda", missing=lacks):
        command = [sys.executable, tests / script, case]
        return Step(name, command, 1800, missing, TRIREME_SETTINGS=settings, **environment)

    steps = []
    every = {k: v for k, v in environment.items() if k != "CUDA_VISIBLE_DEVICES"}
    for script, cases in SCRIPTS.items():  # they take as many GPUs as there are
        for case, what in cases.items():
            own = [sys.executable, tests / script, case]
            steps.append(Step(f"{case}: {what}", own, 2 * 3600, lacks, **every))
    nccl = "device=cuda communication=nccl"
    steps.append(suite("NCCL, np 1", "parity/parity.py", "references", nccl, lacks_nccl))
    for mesh, ranks in PARITY:
        shared = "" if ranks == 1 else ", sharing the GPU"
        name = f"parity, {mesh}, np {ranks}{shared}"
        steps.append(suite(name, "parity/parity.py", mesh))
    steps += [suite(f"ZeRO, {mesh}, bit for bit", "parity/zero.py", mesh) for mesh in ZERO]
    steps += [suite(f"restart, {case}", "parity/restart.py", case) for case in RESTART]
    return steps


def bench_steps(options):
    program = (options.programs or options.build) / "trireme"
    command = [sys.executable, SOURCE / "test/bench/gpu.py", "--build", options.build]
    command += ["--program", program, "--mpirun", shlex.join(options.mpirun)]
    command += options.bench_args
    gpu = {"CUDA_VISIBLE_DEVICES": options.gpu}
    return [Step("bench", command, options.bench_seconds, **gpu)]


def all_steps(options):
    """In order; made before anything is built."""
    groups = (build_steps, native_steps, sanitizer_steps, program_steps, bench_steps)
    steps = [step for group in groups for step in group(options)]
    only, skip = options.only, options.skip
    return [
        s
        for s in steps
        if (not only or any(x in s.name for x in only)) and not any(x in s.name for x in skip)
    ]


# --- the report ------------------------------------------------------------------------------


def output(command):
    """What it prints, "" if it can't be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def describe(options, machine):
    """The machine, the libraries and the program, as lines."""
    lines = []
    for i, gpu in enumerate(machine["gpus"]):
        size = f"{gpu['bytes'] / 2**30:.1f} GiB"
        lines.append(f"- GPU {i}: {gpu['name']}, capability {gpu['capability']}, {size}")
    driver = machine["driver"] or "of unknown version"
    lines.append(f"- driver {driver}, which has CUDA {machine['cuda']}")
    toolkit = output(["nvcc", "--version"]).splitlines()
    lines.append(f"- nvcc: {toolkit[-1] if toolkit else 'not found'}")
    version = output([str((options.programs or options.build) / "trireme"), "--version"])
    lines.append(f"- program: {', '.join(version.splitlines()) or 'none'}")
    commit = output(["git", "-C", str(SOURCE), "describe", "--always", "--dirty"])
    lines.append(f"- source: {commit or 'no git here'}")
    lines.append(f"- {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}")
    return lines


def tail(log, lines=30):
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no output)"
    return "\n".join(text.splitlines()[-lines:]).replace("```", "'''")


def report(steps, about, bench):
    """The whole report, as far as it is known."""
    counts = {v: sum(s.verdict == v for s in steps) for v in ("pass", "fail", "skip", "")}
    summary = f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped"
    if counts[""]:
        summary += f", {counts['']} not yet run"
    lines = ["# Trireme on a GPU", "", *about, "", f"**{summary}**", ""]
    lines += ["| step | verdict | seconds | remark |", "|---|---|---:|---|"]
    for s in steps:
        remark = s.why.replace("|", "\\|")
        lines.append(f"| {s.name} | {s.verdict or 'to come'} | {s.took:.0f} | {remark} |")
    lines += ["", "## Commands", ""]
    lines += [f"- {s.name}: `{s.line()}`" for s in steps if s.command]
    failed = [s for s in steps if s.verdict == "fail"]
    if failed:
        lines += ["", "## What failed, the end of its output"]
    for s in failed:
        lines += ["", f"### {s.name}", "", "```", tail(s.log), "```"]
    if bench:
        lines += ["", bench]
    return "\n".join(lines) + "\n"


def read_bench(build, since):
    """What gpu-bench wrote in this run."""
    path = build / "gpu-bench.md"
    if not path.is_file() or path.stat().st_mtime < since:
        return ""
    return path.read_text(encoding="utf-8")


def parse(arguments):
    parser = argparse.ArgumentParser(description="Builds, tests and benches on a GPU.")
    parser.add_argument("--build", type=Path, default=SOURCE / "build", help="and the report")
    parser.add_argument("--programs", type=Path, help="take programs from there; no build")
    parser.add_argument("--mpirun", type=shlex.split, default=["mpirun"])
    parser.add_argument("--gpu", default="0", help="the one that ranks share, and the bench's")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--cmake-args", type=shlex.split, default=[])
    parser.add_argument("--sanitizer", help="compute-sanitizer, where it isn't on the path")
    parser.add_argument("--sanitizer-seconds", type=int, default=3 * 3600, help="for each tool")
    parser.add_argument("--bench-args", type=shlex.split, default=[], help="for gpu.py")
    parser.add_argument("--bench-seconds", type=int, default=6 * 3600)
    parser.add_argument("--only", action="append", default=[], help="part of a step's name")
    parser.add_argument("--skip", action="append", default=[], help="part of a step's name")
    parser.add_argument("--list", action="store_true", help="shows the steps and ends")
    options = parser.parse_args(arguments)
    options.build = options.build.resolve()
    if options.programs:
        options.programs = options.programs.resolve()
        if not (options.programs / "trireme").is_file():
            parser.error(f"--programs: no trireme in {options.programs}")
    return options


def run_all(options, machine):
    """Runs the steps, writing the report after each; the exit code."""
    logs = options.build / "gpu-check"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    target = options.build / "gpu-report.md"
    steps = all_steps(options)
    if not steps:
        print("make gpu-check: no step has such a name (--list)", file=sys.stderr)
        return 1
    begin = time.time()
    for i, step in enumerate(steps, 1):
        print(f"[{i}/{len(steps)}] {step.name}", flush=True)
        step.run(logs / f"{i:02}-{re.sub(r'[^a-zA-Z0-9_]+', '-', step.name)}.log")
        remark = f" ({step.why})" if step.why else ""
        print(f"    {step.verdict}{remark}, {step.took:.0f} s", flush=True)
        text = report(steps, describe(options, machine), read_bench(options.build, begin))
        target.write_text(text, encoding="utf-8")
    print(target)
    return 1 if any(s.verdict == "fail" for s in steps) else 0


def main():
    options = parse(sys.argv[1:])
    if options.list:
        for step in all_steps(options):
            print(f"{step.name}: {step.line()}")
        return 0
    try:
        machine = gpu_driver.find()
    except gpu_driver.NoGpu as error:
        told = f"it needs a GPU: {error}. Nothing was run; `make test` needs none"
        print(f"make gpu-check: {told}", file=sys.stderr)
        return 1
    return run_all(options, machine)


if __name__ == "__main__":
    sys.exit(main())
