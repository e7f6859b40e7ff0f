#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sudden ends in the middle of a run: a rank or the launcher is killed, or one rank alone meets
an error. Every rank must end within seconds, with a message, and no process may remain.
`deaths.py NAME…` runs only the cases whose names begin with NAME.

"""
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402


LIMIT = 30  # seconds from the death to the end of all ranks
RANKS = 4

DECK = {
    "num_layers": 4,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "seq_length": 32,
    "pos_emb": "rotary",
    "train_micro_batch_size_per_gpu": 2,
    "gradient_accumulation_steps": 2,
    "train_iters": 1_000_000,
    "log_interval": 1,
    "lr": 1e-3,
    "eval_iters": 0,
}
MESHES = {
    "dp4": {},
    "tp2_pp2": {"model_parallel_size": 2, "pipe_parallel_size": 2},
    "pp4": {"pipe_parallel_size": 4},
}


def remaining(deck, seconds):
    """Processes that still run after at most LIMIT seconds."""
    end = time.monotonic() + seconds
    while (left := program.ranks_of(deck)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def train(folder, name, keys):
    """A run that has done its third step. Its output goes to files, so that it never blocks."""
    deck = {**DECK, "data_path": str(folder / "tokens.h5"), **keys}
    deck = program.write_deck(folder / f"{name}.yml", deck)
    out, err = folder / f"{name}.out", folder / f"{name}.err"
    with out.open("w") as o, err.open("w") as e:
        process = subprocess.Popen(
            program.command(RANKS, "train", deck),
            env=program.environment(),
            stdin=subprocess.DEVNULL,
            stdout=o,
            stderr=e,
            start_new_session=True,
        )
    end = time.monotonic() + 60
    while " 3/1000000" not in out.read_text():
        if process.poll() is not None or time.monotonic() > end:
            program.stop(process)
            said = out.read_text()[-500:] + err.read_text()
            raise AssertionError(f"{name} does not run: {said}")
        time.sleep(0.05)
    ranks = program.ranks_of(deck)
    if sorted(ranks) != list(range(RANKS)):
        program.stop(process)
        raise AssertionError(f"of {RANKS} ranks these are found: {ranks}")
    return process, deck, err, ranks


def wait(process, deck):
    """What is wrong with the run's end."""
    wrong = []
    try:
        code = process.wait(LIMIT)
        if code == 0:
            wrong.append("the launcher's exit code is 0")
    except subprocess.TimeoutExpired:
        wrong.append(f"the launcher still runs after {LIMIT} s")
        program.stop(process)
    if left := remaining(deck, 5):
        wrong.append(f"ranks left behind: {left}")
        for pid in left.values():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    return wrong


def kill_rank(folder, name, keys, victim):
    process, deck, err, ranks = train(folder, name, keys)
    os.kill(ranks[victim], signal.SIGKILL)
    wrong = wait(process, deck)
    text = err.read_text()
    if "signal 9" not in text and "Killed" not in text:
        wrong.append(f"no message of the death: {text}")
    return wrong


def signal_launcher(folder, name, number, keys):
    process, deck, _, _ = train(folder, name, {**MESHES["tp2_pp2"], **keys})
    process.send_signal(number)
    return wait(process, deck)


def bad_token(folder, name, keys):
    """Changes one token, in data that only one dp rank reads, in one step."""
    with h5py.File(folder / "tokens.h5", "r") as file:
        at = 32 * (len(file["tokens"]) // 64) + 5
    # A checksum would cover the samples of other ranks too.
    program.write_old_tokens(folder / "tokens.h5", folder / "bad.h5",
                             lambda tokens: tokens.__setitem__(at, 4000))
    data = {"data_path": str(folder / "bad.h5"), "split": "1", "log_interval": 100}
    deck = {**DECK, **data, **keys}
    deck = program.write_deck(folder / f"{name}.yml", deck)
    done = program.run(RANKS, "train", deck, timeout=60)
    wrong = []
    ours = [line for line in done.stderr.splitlines() if "trireme: error: " in line]
    if done.returncode != 1:
        wrong.append(f"exit code {done.returncode}")
    if len(ours) != 1 or f"token {at} has id 4000" not in ours[0]:
        wrong.append(f"not one line that names the token: {done.stderr}")
    print("  " + " ".join(ours))
    if left := remaining(deck, 5):
        wrong.append(f"ranks left behind: {left}")
    return wrong


def prepare_kill_rank(folder, name, victim):
    """`prepare` that waits for more of its input. No file may have the output's name then, and
    the same command must do afterwards."""
    output, err = folder / f"{name}.h5", folder / f"{name}.err"
    words = ["prepare", "--input", "-", "--format", "text", "--output", output]
    with err.open("w") as e:
        process = subprocess.Popen(program.command(2, *words), env=program.environment(),
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=e,
                                   start_new_session=True)
    text = b"All is well that ends well.\n" * 100_000
    process.stdin.write(text)
    process.stdin.flush()
    end = time.monotonic() + 30
    while not list(folder.glob(f"{name}.h5*tmp")) and time.monotonic() < end:
        time.sleep(0.05)
    ranks = program.ranks_of(output)
    os.kill(ranks[victim], signal.SIGKILL)
    wrong = wait(process, output)  # before the input's end, which would complete the output
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    if output.exists():
        wrong.append("a file has the output's name")
    done = subprocess.run(program.command(2, *words), env=program.environment(), input=text,
                          capture_output=True, check=False)
    if done.returncode != 0 or not output.exists():
        wrong.append(f"the second start fails: {done.stderr.decode()}")
    if left := list(folder.glob(f"{name}.h5*tmp")):
        wrong.append(f"left behind: {left}")
    return wrong


def cases():
    """Name, function, arguments."""
    for mesh, victim in (("dp4", 0), ("dp4", 3), ("tp2_pp2", 0), ("tp2_pp2", 3), ("pp4", 3)):
        yield f"kill_{mesh}_rank{victim}", kill_rank, (MESHES[mesh], victim)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        yield f"launcher_{number.name}", signal_launcher, (number, {})
    # Ranks that save don't end on SIGTERM, which the launcher tries first.
    folder = str(program.root_folder() / "deaths" / "saves")
    saves = {"checkpoint_factor": 1, "keep_last_n_checkpoints": 2, "save": folder}
    yield "saving_kill_rank", kill_rank, (saves, 1)
    yield "saving_launcher", signal_launcher, (signal.SIGTERM, {**saves, "save": folder + "2"})
    for victim in (0, 1):
        yield f"prepare_kill_rank{victim}", prepare_kill_rank, (victim,)
    yield "bad_token_dp4", bad_token, ({},)
    yield "bad_token_dp2_pp2", bad_token, ({"pipe_parallel_size": 2},)


def main():
    wanted = tuple(sys.argv[1:])
    folder = program.work_folder("deaths")
    program.make_tokens(folder)
    failed = 0
    for name, case, arguments in cases():
        if wanted and not name.startswith(wanted):
            continue
        began = time.monotonic()
        wrong = case(folder, name, *arguments)
        failed += bool(wrong)
        print(f"{name}: {time.monotonic() - began:.1f} s")
        for text in wrong:
            print(f"  FAILED: {text}")
    return program.finish(folder, failed)


if __name__ == "__main__":
    sys.exit(main())
