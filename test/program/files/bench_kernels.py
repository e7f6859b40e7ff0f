# SPDX-License-Identifier: Apache-2.0
"""`trireme bench --kernels`: every kernel of a step is listed, and its operations, floors and
sums are right. Speed is not tested.

"""
import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402


SHAPE = {
    "num_layers": 2,
    "hidden_size": 48,
    "num_attention_heads": 4,
    "seq_length": 24,
    "vocab_size": 97,
    "train_micro_batch_size_per_gpu": 2,
    "lr": 1e-3,
    "train_iters": 10,
    "eval_iters": 0,
}
DECKS = {
    "neox, bf16": {
        "pos_emb": "rotary",
        "rotary_pct": 0.5,
        "gpt_j_residual": True,
        "no_weight_tying": True,
        "precision": "bfloat16",
        "gradient_accumulation_steps": 3,
    },
    "gpt2, fp32, dropout": {"hidden_dropout": 0.1, "attention_dropout": 0.1},
    "llama, fp16": {
        "pos_emb": "rotary",
        "norm": "rmsnorm",
        "activation": "swiglu",
        "intermediate_size": 144,
        "num_kv_heads": 2,
        "use_bias_in_mlp": False,
        "use_bias_in_attn_linear": False,
        "fp16": {"enabled": True},
    },
    "gemma, fp32": {
        "pos_emb": "rotary",
        "norm": "rmsnorm",
        "use_qk_layernorm": "head",
        "sliding_window_width": 8,
        "attention_logit_softcap": 3,
        "embedding_scale": 4,
    },
}
ALWAYS = {"GEMMs", "attention", "norms", "activation", "embedding", "head"}
ALWAYS |= {"cross entropy", "update"}


def run(folder, name, keys):
    stem = name.replace(", ", "-")
    deck = program.write_deck(folder / f"{stem}.yml", {**SHAPE, **keys})
    figures = folder / f"{stem}.json"
    told = program.run_well(
        1, "bench", deck, "--kernels", "--set", "device=cpu", "--json", figures, timeout=300
    )
    return told, json.loads(figures.read_text(encoding="utf-8"))


def matrix_elements(keys):
    """The number of weights in all matrices that tokens pass."""
    h, inner, ups = SHAPE["hidden_size"], 4 * SHAPE["hidden_size"], 1
    heads, kv = SHAPE["num_attention_heads"], keys.get("num_kv_heads", 4)
    if "intermediate_size" in keys:
        inner, ups = keys["intermediate_size"] // 3, 2
    layer = h * (h + 2 * kv * h // heads) + h * h + (ups + 1) * h * inner
    return SHAPE["num_layers"] * layer + h * SHAPE["vocab_size"]


def check(name, keys, told, figures):
    """What is wrong, as lines."""
    wrong = []
    tokens = SHAPE["seq_length"] * SHAPE["train_micro_batch_size_per_gpu"]
    tokens *= keys.get("gradient_accumulation_steps", 1)
    kernels = figures["kernels"]
    sums = {}
    for k in kernels:
        floor = max(
            k["operations"] / figures["operations_per_second"],
            k["bytes"] / figures["bytes_per_second"],
        )
        right = (
            k["seconds"] > 0
            and k["bytes"] > 0
            and math.isclose(k["floor_seconds"], floor, rel_tol=1e-9)
            and math.isclose(k["of_floor"], floor / k["seconds"], rel_tol=1e-9)
        )
        if not right:
            wrong.append(f"{name}: {k}")
        if k["name"] not in told:
            wrong.append(f"{name}: the table lacks {k['name']}")
        seconds, floors = sums.get(k["group"], (0, 0))
        sums[k["group"]] = (seconds + k["calls"] * k["seconds"], floors + k["calls"] * floor)
    for g in figures["groups"]:
        seconds, floors = sums[g["group"]]
        if not math.isclose(g["seconds"], seconds, rel_tol=1e-9):
            wrong.append(f"{name}: {g}, but its kernels take {seconds}")
        if not math.isclose(g["floor_seconds"], floors, rel_tol=1e-9):
            wrong.append(f"{name}: {g}, but its kernels' floors are {floors}")
    lacks = ALWAYS - {g["group"] for g in figures["groups"]}
    if lacks:
        wrong.append(f"{name}: no {', '.join(sorted(lacks))}")
    # Forward, input gradient and weight gradient.
    products = sum(
        k["calls"] * k["operations"] for k in kernels if k["group"] in ("GEMMs", "head")
    )
    expected = 6 * tokens * matrix_elements(keys)
    if not math.isclose(products, expected):
        wrong.append(f"{name}: {products} operations in GEMMs, {expected} by their shapes")
    return wrong


def refusals(folder):
    """Errors, which are printed once."""
    deck = program.write_deck(folder / "deck.yml", {**SHAPE, **DECKS["neox, bf16"]})
    wrong = []
    for ranks, words, expected in (
        (2, ["--kernels"], "bench --kernels measures one rank"),
        (1, ["--kernels", "--update"], "--update excludes --kernels"),
    ):
        done = program.run(ranks, "bench", deck, *words)
        if done.returncode != 1 or done.stderr.count(expected) != 1:
            wrong.append(f"{words} on {ranks} ranks: {done.returncode}, {done.stderr}")
    return wrong


def main():
    folder = program.work_folder("bench_kernels")
    wrong = refusals(folder)
    for name, keys in DECKS.items():
        wrong += check(name, keys, *run(folder, name, keys))
    for line in wrong:
        print(line)
    return program.finish(folder, len(wrong))


if __name__ == "__main__":
    sys.exit(main())
