#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random pairs of start, stop, change and restart in a few folders, against a model of what
must hold: no file of a run is lost, no difference is silent, a folder keeps its owner.

  pairs.py [PAIRS [SEED]]    # 20 by default

"""
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "seq_length": 16,
    "pos_emb": "rotary",
    "train_micro_batch_size_per_gpu": 2,
    "lr": 1e-3,
    "lr_decay_iters": 1000,
    "log_interval": 1,
    "eval_iters": 0,
    "checkpoint_factor": 2,
}
ENDLESS = 1_000_000
SECONDS = 60
STOPPED = 75
FOLDERS = ("f0", "f1", "f2")
ANOTHER = "files of another run"
IN_USE = "is in use by process"


@dataclass
class Run:
    """What the model knows of a folder's run."""

    seed: int
    data: str  # content: a or b; that of the newest checkpoint, if there is one
    began: str = ""  # the folder of `load`, if that is another
    last: int = 0  # iteration of the newest checkpoint
    loaded: str = ""  # `load` of the last start


def saved(folder):
    """{name in the folder: sum} of all files of checkpoints."""
    sums = {}
    for path in sorted(folder.glob("global_step*/*.h5")):
        if ".tmp" not in path.parent.name:
            sums[str(path.relative_to(folder))] = hashlib.md5(path.read_bytes()).hexdigest()
    return sums


def everything(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Pairs:
    def __init__(self, folder, draw):
        self.folder, self.draw = folder, draw
        self.runs = dict.fromkeys(FOLDERS)
        self.wrong, self.seen = [], {}
        for name, seed in (("a", 1), ("b", 2)):
            (folder / name).mkdir()
            program.make_tokens(folder / name, characters=20_000, seed=seed)
            shutil.copy(folder / name / "tokens.h5", folder / f"{name}_renamed.h5")
        self.number = 0

    def check(self, good, text):
        if not good:
            self.wrong.append(f"pair {self.number}: {text}")

    def deck(self, name, run, load, overwrite, iters, renamed):
        data = f"{run.data}_renamed.h5" if renamed else f"{run.data}/tokens.h5"
        deck = {**DECK, "data_path": str(self.folder / data), "seed": run.seed,
                "train_iters": iters, "save": str(self.folder / name)}
        if load:
            deck["load"] = str(self.folder / load)
        if overwrite:
            deck["overwrite"] = True
        return program.write_deck(self.folder / f"{name}.yml", deck)

    def launch(self, deck):
        """The program alone; its output goes to a file."""
        log = self.folder / "log"
        with log.open("w") as file:
            return log, subprocess.Popen(
                [program.PROGRAM, "train", deck], env=program.environment(),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def expected(self, name, run, load, overwrite):
        """Words of the error that must come; nothing where the run must start. Sets where the
        start goes on from, and whether files move aside."""
        held = self.runs[name]
        self.moves = False
        self.start_at = self.runs[load].last if load and self.runs[load] else 0
        if held is None:
            return "no checkpoint in" if load and load != name and not self.start_at else None
        if load == name:
            differs = held.last and held.seed != run.seed
            return "made with seed" if differs else None
        if load and held.began == load and held.last:
            self.start_at = held.last
            return "made with seed" if held.seed != run.seed else None
        if load and not held.last and held.loaded == load:  # it died before it saved
            if not self.start_at:
                return "no checkpoint in"
            return "made with seed" if self.runs[load].seed != run.seed else None
        if load and not self.start_at:
            return "no checkpoint in" if overwrite or not held.last else "Name another save"
        if not overwrite:
            return "another save" if load else ANOTHER
        self.moves = True
        source = self.runs[load] if load else None
        return "made with seed" if source and source.seed != run.seed else None

    def intrude(self, name, run):
        """A second start in a folder that has a live owner."""
        deck = self.deck("second", run, "", True, 3, False)
        done = subprocess.run([program.PROGRAM, "train", deck, "--set",
                               f"save={self.folder / name}"], env=program.environment(),
                              capture_output=True, text=True, timeout=SECONDS, check=False)
        self.check(done.returncode == 1 and IN_USE in done.stderr,
                   f"a second start in {name}: {done.returncode} {done.stderr}")
        self.count("second start refused")

    def count(self, what):
        self.seen[what] = self.seen.get(what, 0) + 1

    def pair(self):
        """One start that ends in one of several ways; the next pair restarts what is there."""
        self.number += 1
        draw, name = self.draw, self.draw.choice(FOLDERS)
        held = self.runs[name]
        run = Run(held.seed, held.data, held.began) if held else Run(draw.randint(1, 3), "a")
        if draw.random() < 0.15:
            run.seed = 4
        if draw.random() < 0.2:
            run.data = draw.choice("ab")
        load = draw.choice(["", name, name, name, draw.choice(FOLDERS)])
        if held and held.began and draw.random() < 0.5:
            load = held.began
        overwrite = draw.random() < 0.25
        how = draw.choice(["done", "done", "signal", "signal", "kill"])
        if load and load != name and self.runs[load]:
            run.seed = self.runs[load].seed if draw.random() < 0.8 else run.seed
        words = self.expected(name, run, load, overwrite)
        iters = self.start_at + draw.randint(1, 5) if how == "done" else ENDLESS
        self.before = everything(self.folder / name)
        self.kept = saved(self.folder / name)
        renamed = draw.random() < 0.3
        log, process = self.launch(self.deck(name, run, load, overwrite, iters, renamed))
        try:
            self.follow(process, log, name, run, words, how)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        text = log.read_text()
        if words:
            self.refused(name, process.returncode, text, words)
        else:
            self.ran(name, run, load, process.returncode, text, how)

    def follow(self, process, log, name, run, words, how):
        """Ends the process as the pair wants it."""
        if words or how == "done":
            process.wait(SECONDS)
            return
        end = time.monotonic() + SECONDS
        steps = self.draw.randint(1, 9) + self.start_at
        while f"iteration {steps:>7}/" not in log.read_text() and process.poll() is None:
            if time.monotonic() > end:
                return
            time.sleep(0.01)
        if self.draw.random() < 0.3:
            self.intrude(name, run)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGUSR1)
        process.wait(SECONDS)

    def refused(self, name, code, text, words):
        self.count(f"refused: {words}")
        self.check(code == 1, f"{name}: exit code {code} instead of '{words}': {text}")
        self.check(words in text, f"{name}: no '{words}' in: {text[-600:]}")
        after = everything(self.folder / name)
        gone = set(self.before) - set(after)  # a dead owner's lock alone may go
        changed = {p for p, content in after.items() if self.before.get(p) != content}
        changed |= {p for p in gone if not p.name.startswith("trireme.lock")}
        self.check(not changed, f"{name}: the refused start changed files: {changed}")

    def ran(self, name, run, load, code, text, how):
        """What a start that was not refused must leave."""
        folder, held = self.folder / name, self.runs[name]
        self.count(how)
        wanted = {"done": 0, "signal": STOPPED, "kill": -signal.SIGKILL}[how]
        self.check(code == wanted, f"{name}: exit code {code}, not {wanted}: {text[-900:]}")
        found = re.search(r"resume .* at iteration (\d+)", text)
        at = int(found[1]) if found else 0
        self.check(at == self.start_at, f"{name}: from {at}, not {self.start_at}: {text}")
        if self.moves:
            self.count("moved aside")
            aside = sorted(folder.glob("before-*"), key=os.path.getmtime)[-1:]
            moved = saved(aside[0]) if aside else {}
            self.check(moved == self.kept, f"{name}: not all was moved aside: {moved}")
        else:
            found_now = saved(folder)
            lost = {k for k, v in self.kept.items() if found_now.get(k) != v}
            self.check(not lost, f"{name}: lost or changed: {lost}")
        source = held if held and not self.moves and (
            load == name or (held.began and held.last)) else (
            self.runs[load] if load else None)
        if at and source:
            other = source.data != run.data
            self.check(("the data was" in text) == other,
                       f"{name}: data {source.data} → {run.data}: {text[:900]}")
        self.learn(name, run, load, how)

    def learn(self, name, run, load, how):
        """The model's new state, from what the folder holds."""
        folder, held = self.folder / name, self.runs[name]
        last = 0
        if (folder / "latest").exists():
            last = int((folder / "latest").read_text().removeprefix("global_step"))
        rows = program.read_metrics(folder)["train/iteration"]
        first = rows[0] if len(rows) else 1
        self.check(len(rows) == 0 or np.array_equal(rows, np.arange(first, first + len(rows))),
                   f"{name}: rows {rows}")
        self.check(len(rows) == 0 or rows[-1] >= last,
                   f"{name}: rows end before {last}: {rows}")
        goes_on = held is not None and not self.moves
        before = held.last if goes_on else 0
        self.check(last >= before, f"{name}: `latest` fell from {before} to {last}")
        if how != "kill":
            left = [p.name for p in folder.iterdir() if ".tmp" in p.name or ".lock" in p.name]
            self.check(not left, f"{name}: it left {left}")
        if not last and not len(rows):
            self.runs[name] = None
            return
        began = held.began if before else load if load and load != name else ""
        data = run.data if last > before else held.data if before else run.data
        self.runs[name] = Run(run.seed, data, began, last, load)


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"{pairs} pairs, seed {seed}", flush=True)
    folder = program.work_folder("pairs")
    played = Pairs(folder, random.Random(seed))
    for i in range(pairs):
        played.pair()
        if (i + 1) % 20 == 0:
            print(f"{i + 1} pairs, {len(played.wrong)} wrong", flush=True)
    print(played.seen)
    for text in played.wrong:
        print(f"FAILED: {text}")
    return program.finish(folder, len(played.wrong))


if __name__ == "__main__":
    sys.exit(main())
