#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A rank is killed (kill -9) at random moments of a run that saves at every step. The repeated
command must find a valid checkpoint each time by itself, and lose at most the steps since
`latest`. In the end its results must equal those of an undisturbed run, bit for bit.

  crash.py [KILLS [SEED]]    # 8 by default

"""
import contextlib
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

RANKS = 4
DECK = {
    "num_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "seq_length": 16,
    "pos_emb": "rotary",
    "hidden_dropout": 0.1,
    "model_parallel_size": 2,
    "train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "checkpoint_factor": 1,
    "keep_last_n_checkpoints": 3,
    "lr": 1e-3,
    "lr_decay_iters": 60,
    "log_interval": 5,
    "eval_interval": 7,
    "eval_iters": 1,
    "split": "80,10,10",
}
NO_END = 1_000_000  # iterations: more than a run can do before it is killed
STEPS = 15  # most steps that a run makes before it is killed
EXACT = ["iteration", "samples", "tokens", "loss", "learning_rate", "grad_norm"]


class Crashes:
    def __init__(self, folder, draw):
        self.folder, self.draw = folder, draw
        self.save = folder / "run"
        self.deck = self.write("run", NO_END)
        self.wrong = []
        self.seen = {"before the first checkpoint": 0, "while a save was under way": 0}

    def write(self, name, iterations):
        deck = {**DECK, "data_path": str(self.folder / "tokens.h5"), "train_iters": iterations,
                "save": str(self.folder / name), "load": str(self.folder / name)}
        return program.write_deck(self.folder / f"{name}.yml", deck)

    def latest(self):
        path = self.save / "latest"
        if not path.exists():
            return 0
        return int(path.read_text().removeprefix("global_step"))

    def leftovers(self):
        """What the next save removes and names; a start removes the files of its own folder."""
        return {p.name for p in self.save.glob("*.tmp")
                if p.name.startswith(("global_step", "latest"))}

    def wait(self, process):
        """Waits until the moment to kill this run: some time after its start, or after some
        steps."""
        if self.draw.random() < 0.3:
            end, target = time.monotonic() + self.draw.uniform(0.2, 2), self.latest() + STEPS
        else:
            end, target = math.inf, self.latest() + self.draw.randint(1, STEPS)
        while time.monotonic() < end and self.latest() < target and process.poll() is None:
            time.sleep(0.002)
        if end == math.inf:
            time.sleep(self.draw.uniform(0, 0.08))

    def hit(self, number):
        """One run, killed."""
        before, left = self.latest(), self.leftovers()
        log = self.folder / f"{number}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                program.command(RANKS, "train", self.deck), env=program.environment(),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        self.wait(process)
        ranks = program.ranks_of(self.deck)
        if ranks:
            os.kill(self.draw.choice(sorted(ranks.values())), signal.SIGKILL)
        self.wait_for_end(process, f"run {number}")
        self.judge(f"run {number}", log.read_text(), before, left)
        self.seen["while a save was under way"] += bool(self.leftovers())
        self.seen["before the first checkpoint"] += self.latest() == 0

    def wait_for_end(self, process, name):
        """All ranks must end. Open MPI's launcher may stay behind: a rank that dies while it
        connects can leave PMIx 4.2 with a locked mutex, which mpirun then waits for. One of 200
        kills at a start did so."""
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            if left := program.ranks_of(self.deck):
                self.wrong.append(f"{name}: ranks {left} run 30 s after the death of a rank")
            else:
                print(f"{name}: mpirun stayed behind after all ranks had ended", flush=True)
            for pid in left.values():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def judge(self, name, text, before, left):
        """The checkpoint that a run reported at its start, and what the previous run left."""
        if "trireme: error" in text or "instead" in text:
            self.wrong.append(f"{name}, from {before}: {text}")
        found = re.search(r"at iteration (\d+)", text)
        if found and int(found[1]) != before:
            self.wrong.append(f"{name} went on from {found[1]}, not {before}")
        if before and ("no checkpoint" in text or re.search("iteration +1/", text)):
            self.wrong.append(f"{name} began afresh in spite of {before}: {text}")
        saved = f"global_step{before + 2} " in text or f"global_step{before + 2}\n" in text
        for name_left in left if saved else ():
            if name_left not in text:
                self.wrong.append(f"{name} did not tell of {name_left}: {text}")

    def finish(self):
        before, left = self.latest(), self.leftovers()
        steps = before + STEPS
        text = program.run_well(RANKS, "train", self.write("run", steps))
        self.judge("the last run", text, before, left)
        program.run_well(RANKS, "train", self.write("whole", steps))
        last = f"global_step{steps}"
        got, expected = (program.read_metrics(self.folder / n) for n in ("run", "whole"))
        names = [f"train/{c}" for c in EXACT] + ["valid/iteration", "valid/loss"]
        for name in names:
            if not np.array_equal(got[name], expected[name]):
                self.wrong.append(f"{name} is not that of the run that was never touched")
        a, b = (program.read_checkpoint(self.folder / n / last) for n in ("run", "whole"))
        if a.keys() != b.keys() or not all(program.equal(a[n], b[n]) for n in a):
            self.wrong.append("the last checkpoint is not that of the run never touched")
        kept = sorted(p.name for p in self.save.iterdir())
        expected = sorted(["latest", *program.RUN_FILES] +
                          [f"global_step{n}" for n in range(steps - 2, steps + 1)])
        if kept != expected:
            self.wrong.append(f"there is {kept} in the end, not {expected}")


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"{kills} kills, seed {seed}", flush=True)
    folder = program.work_folder("crash")
    program.make_tokens(folder)
    crashes = Crashes(folder, random.Random(seed))
    for number in range(kills):
        crashes.hit(number)
    print(f"{kills} killed, up to step {crashes.latest()}; {crashes.seen}", flush=True)
    crashes.finish()
    for text in crashes.wrong:
        print(f"FAILED: {text}")
    return program.finish(folder, len(crashes.wrong))


if __name__ == "__main__":
    sys.exit(main())
