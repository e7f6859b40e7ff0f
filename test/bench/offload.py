#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Behind `make bench-offload`: the optimizer's state in files beside dd. A step reads and writes
# all of the state. The other side is two dd at once, past the page cache: one reads as many
# bytes, one writes as many. Disks of virtual machines change their rate by the second, so both
# sides take turns, and the median of the ratios within a turn counts. Gathers all in
# BUILD/bench-offload.json and ends with a table.
import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMEOUT = 600  # seconds, for one run
LINE = re.compile(r"offloading, each step: ([\d.]+) MB read, ([\d.]+) MB written on rank 0 "
                  r"in ([\d.]+) s of disk work, (\d+) % behind")
# Open MPI on fewer cores than ranks, unbound, for runs without the Makefile's own settings.
SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
}


class BenchError(Exception):
    """A run that failed, in one line."""


def run(command):
    """What a command prints."""
    done = subprocess.run([str(word) for word in command], env=SETTINGS | os.environ,
                          timeout=TIMEOUT, check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise BenchError(f"exit code {done.returncode}: {shlex.join(map(str, command))}\n"
                         + done.stdout)
    return done.stdout


def run_dd(folder, mega):
    """Bytes a second of a dd that reads and a dd that writes, both at once."""
    old, new = folder / "dd-old", folder / "dd-new"
    for path in (old, new):
        if not path.exists():
            run(["dd", "if=/dev/urandom", f"of={path}", "bs=1M", f"count={mega}"])
            run(["sync", path])
    begin = time.monotonic()
    sides = [
        subprocess.Popen(["dd", f"if={old}", "of=/dev/null", "bs=1M", "iflag=direct"],
                         stderr=subprocess.DEVNULL),
        subprocess.Popen(["dd", "if=/dev/zero", f"of={new}", "bs=1M", f"count={mega}",
                          "oflag=direct", "conv=notrunc"], stderr=subprocess.DEVNULL),
    ]
    if any([side.wait() for side in sides]):
        raise BenchError(f"dd failed in {folder}; does its file system have O_DIRECT?")
    return 2 * mega * (1 << 20) / (time.monotonic() - begin)


def run_ours(options, folder, tokens):
    deck = {
        "num_layers": 8, "hidden_size": 64 * options.heads, "seq_length": 16,
        "num_attention_heads": options.heads, "pos_emb": "rotary", "precision": "bf16",
        "train_micro_batch_size_per_gpu": 1, "train_iters": 3, "log_interval": 1,
        "eval_iters": 0, "lr": 1e-4, "device": "cpu", "data_path": str(tokens),
        "split": "969, 31, 0",
        "zero_optimization": {"stage": 1, "offload_optimizer": {
            "device": "nvme", "nvme_path": str(folder)}},
    }
    path = folder / "deck.yml"
    path.write_text(json.dumps(deck), encoding="utf-8")
    found = LINE.search(run([*options.mpirun, "-np", 1, options.build / "trireme", "train",
                             path]))
    if not found:
        raise BenchError("the log has no line on offloading")
    read, written, seconds, hidden = map(float, found.groups())
    return {"megabytes": read + written, "seconds": seconds, "hidden": hidden,
            "rate": (read + written) * 1e6 / seconds}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--mpirun", type=shlex.split, default=["mpirun"])
    parser.add_argument("--folder", type=Path, default=Path("."), help="on the disk")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--heads", type=int, default=12, help="of 64 columns")
    options = parser.parse_args()
    options.build = options.build.resolve()
    turns = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        text = folder / "text.txt"
        text.write_text("the oars of a trireme keep one stroke \n\n" * 400, encoding="utf-8")
        tokens = folder / "tokens.h5"
        run([options.build / "trireme", "prepare", "--input", text, "--output", tokens,
             "--document-separator", r"\n\n"])
        for _ in range(options.turns):
            ours = run_ours(options, folder, tokens)
            dd = run_dd(folder, round(ours["megabytes"] / 2))
            turns.append({**ours, "dd": dd, "ratio": ours["rate"] / dd})
    (options.build / "bench-offload.json").write_text(json.dumps(turns, indent=1) + "\n",
                                                      encoding="utf-8")

    def middle(column):
        return statistics.median(turn[column] for turn in turns)

    print(f"{middle('megabytes'):.0f} MB a step, median of {len(turns)} turns\n"
          f"state in files  {middle('rate') * 1e-6:8.0f} MB/s\n"
          f"two dd          {middle('dd') * 1e-6:8.0f} MB/s\n"
          f"ratio           {middle('ratio'):8.2f}   (goal 0.90)\n"
          f"behind updates  {middle('hidden'):8.0f} %")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench-offload: {error}")
