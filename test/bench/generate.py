#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Behind `make bench-generate`: `trireme generate` beside Hugging Face's generate() on one
# random model of Pythia-160M's shape, in turn, and beside the rates of memory and sgemm. It
# gathers all in BUILD/bench-generate.json and ends with a table. Needs an otherwise idle
# machine, and a Python with torch and transformers for the peer.
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PARAMETERS = 162_322_944
TABLE = 50304 * 768  # the embedding's, of which a step reads some rows
LAYERS, HIDDEN = 12, 768
PEER = Path(__file__).resolve().parent / "peer_generate.py"
CASES = [(1, 16, 64), (8, 16, 64), (1, 1024, 8)]  # sequences, tokens of a prompt and an answer


def run(command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False,
                          **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def ours(options, folder, environment, case):
    batch, prompt, tokens = case
    prompts = Path(folder) / "prompts.txt"
    prompts.write_text("\n".join(["a" * prompt] * batch), encoding="utf-8")
    out = run([options.program, "generate", folder, "--prompt-file", prompts, "--output",
               Path(folder) / "answers.jsonl", "--max-tokens", tokens, "--batch", batch,
               "--set", "tokenizer_type=CharLevelTokenizer"], env=environment)
    found = re.search(r"prompts ([\d.]+) tokens a second, answers ([\d.]+)", out)
    return float(found[1]), float(found[2])


def bytes_of_step(case, size):
    """Weights, but the table of tokens, and the cache's keys and values in the middle."""
    batch, prompt, tokens = case
    cache = 2 * LAYERS * HIDDEN * (prompt + tokens / 2) * batch
    return size * (PARAMETERS - TABLE + cache)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--peer-python", default="python3")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    options.program = Path(options.build) / "trireme"
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    rates = run([options.program, "bench", "inputs/pythia-70m.yml", "--update"],
                env=environment)
    rows = []
    for kind, size in (("float32", 4), ("bfloat16", 2)):
        with tempfile.TemporaryDirectory() as folder:
            run([options.peer_python, PEER, "make", folder, kind])
            for case in CASES:
                mine, theirs = [], []
                for _ in range(options.turns):
                    mine.append(ours(options, folder, environment, case))
                    said = run([options.peer_python, PEER, "run", folder, options.threads,
                                case[1], case[0], case[2]])
                    peer = json.loads(said.splitlines()[-1])
                    theirs.append((peer["prompt_rate"], peer["step_rate"]))
                prompt, step = (statistics.median(t[i] for t in mine) for i in (0, 1))
                peer_prompt, peer_step = (statistics.median(t[i] for t in theirs)
                                          for i in (0, 1))
                rows.append({
                    "type": kind, "sequences": case[0], "prompt": case[1], "answer": case[2],
                    "prompt_rate": prompt, "peer_prompt_rate": peer_prompt,
                    "prompt_gflops": 2e-9 * (PARAMETERS - 2 * TABLE) * prompt,
                    "step_rate": step, "peer_step_rate": peer_step,
                    "step_gflops": 2e-9 * (PARAMETERS - TABLE) * step,
                    "step_gigabytes": 1e-9 * bytes_of_step(case, size) * step / case[0]})
                print(json.dumps(rows[-1]), flush=True)
    out = Path(options.build) / "bench-generate.json"
    out.write_text(json.dumps({"threads": options.threads, "rates": rates, "rows": rows},
                              indent=1) + "\n", encoding="utf-8")
    print("| type | sequences | prompt | tokens/s of prompts | GFLOP/s | × peer "
          "| tokens/s of answers | GB/s | GFLOP/s | × peer |\n" + 10 * "|---" + "|")
    for r in rows:
        print(f"| {r['type']} | {r['sequences']} | {r['prompt']} | {r['prompt_rate']:.0f} | "
              f"{r['prompt_gflops']:.0f} | {r['prompt_rate'] / r['peer_prompt_rate']:.2f} | "
              f"{r['step_rate']:.1f} | {r['step_gigabytes']:.1f} | "
              f"{r['step_gflops']:.0f} | "
              f"{r['step_rate'] / r['peer_step_rate']:.2f} |")
    print(rates)


if __name__ == "__main__":
    main()
