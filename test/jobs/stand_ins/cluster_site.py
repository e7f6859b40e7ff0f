# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the program, mpirun and the commands of PBS, LSF and Flux. They record how they
were called, and do only what a job script needs.

"""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]

# Each stand-in is this file under another name.
RECORD = """#!{python}
import json, os, signal, subprocess, sys, time
from pathlib import Path

site = Path({site!r})
name, words = Path(sys.argv[0]).name, sys.argv[1:]
with (site / "calls").open("a") as calls:
    begin = ("TRIREME_", "PBS_", "OMP_")
    kept = {{k: v for k, v in os.environ.items() if k.startswith(begin)}}
    calls.write(json.dumps([name, words, kept]) + "\\n")


def says(what):  # what the test has laid down for this command
    path = site / what
    return path.read_text() if path.exists() else None


"""

BODIES = {
    # A turn is "CODE ITERATION", or "wait ITERATION", which waits for SIGUSR1 and ends with 75.
    "trireme": """
turns = (site / "turns").read_text().splitlines()
(site / "turns").write_text("\\n".join(turns[1:]))
code, iteration = turns[0].split()
settings = dict(w.split("=", 1) for w in words if "=" in w)
if code == "wait":
    got = []
    signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
    (site / "ready").touch()
    end = time.time() + 20
    while not got and time.time() < end:
        time.sleep(0.02)
    code = 75 if got else 99
(Path(settings["save"]) / "latest").write_text(f"global_step{iteration}\\n")
if int(code) > 128:
    os.kill(os.getpid(), int(code) - 128)
sys.exit(int(code))
""",
    "mpirun": """
if words == ["--version"]:
    print(says("mpirun-version") or "mpirun (Open MPI) 4.1.4")
    sys.exit(0)
at = next(i for i, w in enumerate(words) if w.endswith("/trireme"))
child = subprocess.Popen(words[at:])
signal.signal(signal.SIGUSR1, lambda *_: child.send_signal(signal.SIGUSR1))
code = child.wait()
sys.exit(128 - code if code < 0 else code)
""",
    "srun": 'print(says("srun-offers"), file=sys.stderr)\n',
    "ldd": 'print(says("ldd-shows"))\n',
    "ompi_info": 'print(says("ompi-has") or "")\n',
    "qrerun": 'sys.exit(1 if says("no-qrerun") else 0)\n',
    "qsub": 'print("43.server") if not says("no-qsub") else sys.exit("qsub: refused")\n',
    "qstat": """
print("Job Id: 42.server\\n    Account_Name = physics\\n    queue = routed")
print("    Resource_List.place = scatter\\n    Resource_List.select = 4:ncpus=32:mpiprocs=4:om")
print("\\tpthreads=8\\n    Resource_List.walltime = 01:30:00")
""",
    "bsub": """
sys.stdin.read()
print(f"Job <{os.getpid()}> is submitted to queue <normal>.")
""",
    "flux": """
if words[:2] == ["getattr", "jobid"]:
    print("f42")
elif words[:2] == ["job", "timeleft"]:
    print(says("timeleft") or 3600)
elif words[:2] == ["resource", "list"]:
    print(2)
elif words[:2] == ["--parent", "jobs"]:
    print(says("duration") or "5400.0")
elif words[0] == "submit":
    at = next(i for i, w in enumerate(words) if w.endswith("/trireme"))
    (site / "submitted").write_text(json.dumps(words[at:]))
    print("f43")
elif words[:2] == ["job", "attach"]:
    child = subprocess.Popen(json.loads((site / "submitted").read_text()))
    (site / "child").write_text(str(child.pid))
    code = child.wait()
    sys.exit(128 - code if code < 0 else code)
elif words[:2] == ["job", "kill"]:
    os.kill(int((site / "child").read_text()), signal.SIGUSR1)
elif "batch" in words:
    if says("no-batch"):
        sys.exit("flux-batch: refused")
    print(f"f{os.getpid()}")
else:
    sys.exit(f"flux: {words}")
""",
}


class Site:
    """A folder with the stand-ins, a deck and a file of hosts."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        for name, body in BODIES.items():
            path = folder / "bin" / name
            path.write_text(RECORD.format(python=sys.executable, site=str(folder)) + body)
            path.chmod(0o755)
        (folder / "deck.yml").write_text("{}\n")
        (folder / "nodes").write_text("n1\nn1\nn2\nn2\n")
        self.run_folder = folder / "run"

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items()
                if not k.startswith(("TRIREME_", "OMP_", "OMPI_", "SLURM_", "PBS_"))}
        return {
            **kept,
            "PATH": f"{self.folder / 'bin'}:{kept['PATH']}",
            "TRIREME_HOME": str(SOURCE),
            "TRIREME_PROGRAM": str(self.folder / "bin" / "trireme"),
            "TRIREME_DECK": str(self.folder / "deck.yml"),
            "TRIREME_RUN": str(self.run_folder),
            "TRIREME_SET": "lr=1e-3 seed=8",
            "PBS_JOBID": "42.server",
            "PBS_O_WORKDIR": str(self.folder),
            "PBS_NODEFILE": str(self.folder / "nodes"),
            "NCPUS": "8",
            "LSB_JOBID": "42",
            "LSB_DJOB_HOSTFILE": str(self.folder / "nodes"),
            "LS_SUBCWD": str(self.folder),
            **more,
        }

    def start(self, script, *words, **more):
        return subprocess.Popen(
            ["bash", str(SOURCE / "jobs" / script), *map(str, words)], cwd=self.folder,
            env=self.environment(**more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)

    def run(self, script, *words, **more):
        """(exit code, output)"""
        process = self.start(script, *words, **more)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def run_without(self, script):
        """Like run(), but not within a job of any batch system."""
        (self.folder / "bin" / "flux").write_text("#!/bin/sh\nexit 1\n")
        return self.run(script, PBS_JOBID="", LSB_JOBID="")

    def turns(self, *turns):
        """Sets what the program will do, one text a turn: "CODE ITERATION"."""
        (self.folder / "turns").write_text("\n".join(turns))

    def let(self, name, value="1"):
        """Stores an answer that a stand-in gives."""
        (self.folder / name).write_text(value)

    def wait_until_ready(self):
        """Waits until a turn "wait" handles signals."""
        ready, end = self.folder / "ready", time.monotonic() + 30
        while not ready.exists():
            if time.monotonic() > end:
                raise AssertionError("the program was not started")
            time.sleep(0.02)
        ready.unlink()

    def calls(self, name, *begin):
        """[(words, environment)] of all calls of a command that begin with these words."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        return [(words, env) for command, words, env in found
                if command == name and words[: len(begin)] == list(begin)]
