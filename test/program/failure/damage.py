#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damaged checkpoints are refused by name and reason: an older checkpoint is loaded instead, or
the run ends with an error. Wrong state is never loaded, and the program never crashes.

  damage.py [PLACES [SEED]]    # 30 random places by default

"""
import os
import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "seq_length": 16,
    "pos_emb": "rotary",
    "train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "checkpoint_factor": 1,
    "lr": 1e-2,
    "log_interval": 1,
    "eval_iters": 0,
}
NEWEST, END = 3, 5
ERROR = "trireme: error: "


def flip(path, draw):
    data = bytearray(path.read_bytes())
    at = draw.randrange(len(data))
    data[at] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return f"bit flipped in byte {at}"


def scramble(path, draw):
    data = bytearray(path.read_bytes())
    at = draw.randrange(len(data))
    n = min(draw.choice([2, 16, 512]), len(data) - at)
    data[at : at + n] = draw.randbytes(n)
    path.write_bytes(data)
    return f"{n} bytes at {at} overwritten"


def cut(path, draw):
    size = path.stat().st_size
    at = draw.choice([0, 1, size - 1, *[draw.randrange(size) for _ in range(5)]])
    os.truncate(path, at)
    return f"cut after {at} of {size} bytes"


def lengthen(path, draw):
    n = draw.choice([1, 8, 4096])
    with path.open("ab") as file:
        file.write(bytes(n))
    return f"{n} bytes more at its end"


def lose(path, _):
    path.unlink()
    return "lost"


KINDS = [flip] * 6 + [scramble] * 2 + [cut] * 4 + [lengthen, lose]


class Damages:
    def __init__(self, folder):
        self.folder = folder
        self.good = folder / "good"
        self.wrong = []
        self.answers = {"fallback": 0, "error": 0}
        program.make_tokens(folder)
        self.train("good", {"train_iters": NEWEST, "model_parallel_size": 2}, ranks=4)
        # Fewer ranks than wrote the checkpoint: each reads several files.
        self.losses = {}
        for n in range(1, NEWEST + 1):
            done = self.train(f"from{n}", {"load": str(self.good / f"global_step{n}")})
            self.check(done.returncode == 0, f"undamaged step {n}: {done.stderr}")
            self.losses[n] = self.losses_of(f"from{n}")

    def check(self, good, text):
        if not good:
            self.wrong.append(text)

    def losses_of(self, name):
        return list(program.read_metrics(self.folder / name)["train/loss"])

    def train(self, name, keys, ranks=0):
        save = self.folder / name
        deck = {**DECK, "data_path": str(self.folder / "tokens.h5"), "train_iters": END,
                "save": str(save), **keys}
        path = program.write_deck(self.folder / f"{name}.yml", deck)
        if ranks:
            return program.run(ranks, "train", path)
        return subprocess.run([program.PROGRAM, "train", path], env=program.environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)

    def damaged(self, name):
        copy = self.folder / f"{name}_load"
        shutil.copytree(self.good, copy)
        return copy

    def judge(self, what, name, done, broken, best):
        """`broken`: what the output must name; `best`: iterations that may be resumed from."""
        text = done.stdout + done.stderr
        errors = [line for line in done.stderr.splitlines() if ERROR in line]
        if done.returncode == 1:
            self.answers["error"] += 1
            self.check(len(errors) == 1, f"{what}: not one error: {text}")
            self.check(all(b in text for b in broken), f"{what}: {broken} not named: {text}")
            self.check(not best, f"{what}: an error in spite of older ones: {text}")
        elif done.returncode == 0:
            self.answers["fallback"] += 1
            found = re.search(r"resume .*global_step(\d+) at iteration (\d+)", done.stdout)
            if not found or found[1] != found[2] or int(found[1]) not in best:
                self.wrong.append(f"{what}: it did not go on from one of {best}: {text}")
                return
            self.check(all(b in text for b in broken), f"{what}: {broken} not named: {text}")
            got, expected = self.losses_of(name), self.losses[int(found[1])]
            same = np.allclose(got, expected, 1e-6, 0)
            self.check(same, f"{what}: losses {got}, not {expected}")
        else:
            self.wrong.append(f"{what}: exit code {done.returncode}: {text}")

    def place(self, number, seed):
        """Damage at one random place of the newest checkpoint."""
        draw = random.Random(f"{seed} {number}")
        name = f"place{number}"
        copy = self.damaged(name)
        newest = copy / f"global_step{NEWEST}"
        # choose checkpoint.h5 as often as all shards together
        shards = sorted(newest.glob("shard-*.h5"))
        path = draw.choice([newest / "checkpoint.h5", draw.choice(shards)])
        before = path.read_bytes()
        kind = draw.choice(KINDS)
        what = f"{path.name}: {kind(path, draw)}"
        if path.exists() and path.read_bytes() == before:
            return
        ranks = 2 if number % 10 == 9 else 0  # each reads its share of the files
        alone = number % 5 == 4  # `load` names the checkpoint itself: no other may be loaded
        load = newest if alone else copy
        done = self.train(name, {"load": str(load)}, ranks)
        best = [] if alone else [NEWEST - 1]
        self.judge(what, name, done, [str(newest)], best)
        for rest in (self.folder / name, copy):
            shutil.rmtree(rest, ignore_errors=True)

    def several(self):
        """Two of three checkpoints, all three, and all three named with reasons."""
        for count in (2, 3):
            name = f"several{count}"
            copy = self.damaged(name)
            newest = [copy / f"global_step{n}" for n in range(NEWEST, NEWEST - count, -1)]
            (newest[0] / "checkpoint.h5").write_bytes(b"")
            shard = newest[1] / "shard-00001.h5"
            os.truncate(shard, shard.stat().st_size // 2)
            for folder in newest[2:]:
                flip(folder / "checkpoint.h5", random.Random(1))
            done = self.train(name, {"load": str(copy)})
            best = [] if count == NEWEST else [NEWEST - count]
            self.judge(f"{count} of {NEWEST} damaged", name, done, map(str, newest), best)

    def never_afresh(self):
        """Where load and save are one folder, a damaged checkpoint there must be reported."""
        for name, lost in (("afresh", "checkpoint.h5"), ("afresh_folders", None)):
            save = self.folder / name
            shutil.copytree(self.good, save)
            for n in range(1, NEWEST + 1):
                if lost:
                    (save / f"global_step{n}" / lost).unlink()
                else:
                    shutil.rmtree(save / f"global_step{n}")
            before = {p: p.read_bytes() for p in save.rglob("*") if p.is_file()}
            done = self.train(name, {"load": str(save)})
            self.judge(name, name, done, ["global_step3"], [])
            after = {p: p.read_bytes() for p in save.rglob("*") if p.is_file()}
            self.check(after == before, f"{name}: files have changed")

    def latest(self):
        """`latest` itself is damaged: the newest checkpoint is found, with a note."""
        texts = {"empty": b"", "foreign": b"../../etc\n", "binary": bytes(range(256)) * 9,
                 "half": b"global_st", "missing": None, "gone": b"global_step77\n",
                 "negative": b"global_step-1\n"}
        for kind, text in texts.items():
            name = f"latest_{kind}"
            copy = self.damaged(name)
            (copy / "latest").unlink()
            if text is not None:
                (copy / "latest").write_bytes(text)
            done = self.train(name, {"load": str(copy)})
            self.judge(name, name, done, [str(copy / "latest")], [NEWEST])
            self.check("warning" in done.stderr, f"{name}: no warning: {done.stderr}")
        copy = self.damaged("latest_older")  # an intact `latest` decides
        (copy / "latest").write_text("global_step1\n")
        done = self.train("latest_older", {"load": str(copy)})
        self.judge("latest names step 1", "latest_older", done, [], [1])


def main():
    places = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"{places} places, seed {seed}", flush=True)
    folder = program.work_folder("damage")
    damages = Damages(folder)
    with ThreadPoolExecutor(2) as two:
        jobs = [two.submit(damages.place, n, seed) for n in range(places)]
        jobs += [two.submit(f) for f in (damages.several, damages.never_afresh,
                                         damages.latest)]
        for job in jobs:
            job.result()
    print(damages.answers)
    for text in damages.wrong:
        print(f"FAILED: {text}")
    return program.finish(folder, len(damages.wrong))


if __name__ == "__main__":
    sys.exit(main())
