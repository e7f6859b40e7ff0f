# SPDX-License-Identifier: Apache-2.0
"""Training on a mesh against one rank: losses, gradient norms, evaluations, initial weights.

  parity.py references        one rank's runs, as references for the others
  parity.py MESH...           20 steps on these meshes (a name in MESHES)
  parity.py initial_weights   bit for bit, before the first step

Every mesh trains four models that differ in everything that is sharded differently. Runs have
one or several micro-batches, with or without dropout. These combinations alternate from mesh to
mesh.

"""
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

STEPS = 20
# The program promises 1e-5 on losses and 1e-4 on norms. The order of sums causes 1e-8 and 1e-7.
LOSS_TOLERANCE = 1e-6
NORM_TOLERANCE = 1e-5
FIRST_LOSS_TOLERANCE = 1e-7

BASE = {
    "num_layers": 4,
    "num_attention_heads": 4,
    "seq_length": 32,
    "train_batch_size": 16,
    "train_iters": STEPS,
    "lr": 2e-3,
    "min_lr": 1e-4,
    "warmup": 0.2,
    "weight_decay": 0.1,
    "gradient_clipping": 1.0,
    "seed": 1234,
    "log_interval": 10,
    "eval_interval": 10,
    "eval_iters": 2,
    "split": "80,10,10",
}
MODELS = {
    "neox": {
        "hidden_size": 32,
        "pos_emb": "rotary",
        "rotary_pct": 0.25,
        "gpt_j_residual": True,
        "no_weight_tying": True,
        "init_method": "small_init",
        "output_layer_init_method": "wang_init",
        "lr_decay_style": "cosine",
    },
    "gptj": {
        "hidden_size": 32,
        "pos_emb": "learned",
        "gpt_j_residual": True,
        "gpt_j_tied": True,
        "no_weight_tying": False,
        "bias_gelu_fusion": True,
        "init_method": "normal",
        "output_layer_init_method": "scaled_normal",
        "lr_decay_style": "linear",
        "zero_optimization": {"reduce_bucket_size": 3000},  # many buckets, all uneven
    },
    "llama": {
        "hidden_size": 64,
        "num_attention_heads": 8,
        "num_kv_heads": 4,
        "pos_emb": "rotary",
        "norm": "rmsnorm",
        "activation": "swiglu",
        "intermediate_size": 240,
        "gpt_j_residual": False,
        "no_weight_tying": True,
        "use_bias_in_attn_linear": False,
        "use_bias_in_mlp": False,
        "init_method": "xavier_uniform",
        "output_layer_init_method": "xavier_normal",
        "lr_decay_style": "exponential",
    },
    "plain": {
        "hidden_size": 32,
        "pos_emb": "none",
        "activation": "geglu",
        "intermediate_size": 192,
        "gpt_j_residual": False,
        "no_weight_tying": False,
        "use_bias_in_norms": False,
        "init_method": "orthogonal",
        "output_layer_init_method": "scaled_orthogonal",
        "optimizer": {"type": "SGD", "params": {"momentum": 0.9}},
        "lr": 0.05,
        "lr_decay_style": "constant",
        "gradient_clipping": 0,
    },
}
DROPOUT = {"hidden_dropout": 0.1, "attention_dropout": 0.1}


def mesh(dp=1, tp=1, pp=1, accumulations=(1, 4), **options):
    return {
        "ranks": dp * tp * pp,
        "accumulations": accumulations,
        "deck": {"model_parallel_size": tp, "pipe_parallel_size": pp, **options},
    }


MESHES = {
    "dp2": mesh(dp=2),
    "dp4": mesh(dp=4),
    "tp2": mesh(tp=2),
    "tp4": mesh(tp=4),
    "tp2_sp": mesh(tp=2, sequence_parallel=True),
    "tp4_sp": mesh(tp=4, sequence_parallel=True),
    "pp2": mesh(pp=2),
    "pp4": mesh(pp=4, pipe_partition_method="uniform"),
    "pp3": mesh(pp=3, accumulations=(1, 8)),  # uneven stages; more micro-batches than stages
    "pp2_parameters": mesh(pp=2, pipe_partition_method="parameters"),
    "pp4_gpipe": mesh(pp=4, pipeline_schedule="gpipe"),
    "pp2_interleaved": mesh(pp=2, virtual_pipeline_chunks=2),
    "dp2_tp2": mesh(dp=2, tp=2),
    "dp2_pp2": mesh(dp=2, pp=2, pipe_partition_method="type:embedding|transformer"),
    "tp2_pp2": mesh(tp=2, pp=2),
    "tp2_pp2_sp": mesh(tp=2, pp=2, sequence_parallel=True),
    "dp2_tp2_pp2": mesh(dp=2, tp=2, pp=2),
    "dp2_tp2_pp2_interleaved_sp": mesh(
        dp=2, tp=2, pp=2, virtual_pipeline_chunks=2, sequence_parallel=True
    ),
}


def shared_folder():
    return program.shared_folder("parity_references")


def train(name, folder, ranks, *decks):
    """Metrics of a run of model `name` with these decks over it."""
    tokens = shared_folder() / "tokens.h5"
    if not tokens.exists():
        program.make_tokens(tokens.parent)
    deck = {**BASE, **MODELS[name], "data_path": str(tokens), "save": str(folder)}
    for more in decks:
        deck.update(more)
    program.run_well(ranks, "train", program.write_deck(folder / "deck.yml", deck))
    return program.read_metrics(folder)


def reference(name, dropout):
    folder = shared_folder() / (name + ("_dropout" if dropout else ""))
    if (folder / "global_step20" / "checkpoint.h5").exists():
        return program.read_metrics(folder)
    return train(name, folder, 1, DROPOUT if dropout else {})


def make_references():
    """Checks also that the references are worth comparing with: the loss falls."""
    program.work_folder(shared_folder().name)
    for name in MODELS:
        for dropout in (False, True):
            loss = reference(name, dropout)["train/loss"]
            print(f"{name:<6} {'dropout' if dropout else '':<8} {loss[0]:.4f} → {loss[-1]:.4f}")
            assert len(loss) == STEPS and loss[-1] < loss[0] - 0.5, loss


def difference(got, expected):
    """The largest relative difference; infinite if the entries differ in kind."""
    if got.shape != expected.shape or got.size == 0 or not np.isfinite(got).all():
        return np.inf
    return float(np.abs(got / expected - 1).max())


def compare(got, expected):
    """(quantity, largest relative difference, tolerance) for all that must agree."""
    rows = [("first loss", difference(got["train/loss"][:1], expected["train/loss"][:1]),
             FIRST_LOSS_TOLERANCE)]
    for column, allowed in [
        ("train/loss", LOSS_TOLERANCE),
        ("train/grad_norm", NORM_TOLERANCE),
        ("valid/loss", LOSS_TOLERANCE),
        ("test/loss", LOSS_TOLERANCE),
    ]:
        rows.append((column, difference(got[column], expected[column]), allowed))
    for column in ["train/iteration", "train/samples", "train/learning_rate",
                   "valid/iteration", "test/iteration"]:
        same = np.array_equal(got[column], expected[column])
        rows.append((column, 0.0 if same else np.inf, 0.0))
    return rows


def check_mesh(name):
    """Four runs; returns messages about runs that differ."""
    turn = list(MESHES).index(name)
    m = MESHES[name]
    wrong = []
    variants = [(a, d) for a in m["accumulations"] for d in (False, True)]
    for i, (accumulation, dropout) in enumerate(variants):
        model = list(MODELS)[(turn + i) % len(MODELS)]
        expected = reference(model, dropout)
        folder = program.work_folder(f"parity_{name}_{i}")
        more = {**m["deck"], "gradient_accumulation_steps": accumulation}
        got = train(model, folder, m["ranks"], more, DROPOUT if dropout else {})
        rows = compare(got, expected)
        case = f"{name} {model} accumulation {accumulation}{' dropout' if dropout else ''}"
        print(f"{case:<55}", *(f"{what} {by:.1e}" for what, by, _ in rows[1:5]), flush=True)
        off = [
            f"{case}: {what} differs by {by:.2e} (allowed {allowed:g})"
            for what, by, allowed in rows
            if not by <= allowed
        ]
        if not off:
            shutil.rmtree(folder)  # folders of runs that differ stay, to be looked at
        wrong += off
    return wrong


def check_initial_weights():
    """A step with lr 0 and no decay leaves the weights unchanged: every mesh must have begun
    with equal bits."""
    still = {"train_iters": 1, "eval_iters": 0, "lr": 0, "min_lr": 0,
             "optimizer": {"type": "SGD", "params": {"momentum": 0}}}
    wrong = []
    for i, model in enumerate(MODELS):
        kept = {}
        meshes = ["dp2_tp2_pp2_interleaved_sp", "tp4" if i % 2 == 0 else "pp4"]
        for name, m in {"one": mesh(), **{n: MESHES[n] for n in meshes}}.items():
            folder = program.work_folder(f"initial_{model}_{name}")
            more = {**m["deck"], "gradient_accumulation_steps": m["accumulations"][0]}
            train(model, folder, m["ranks"], still, more)
            arrays = program.read_checkpoint(folder / "global_step1")
            kept[name] = {k: v for k, v in arrays.items() if k.startswith("model/")}
            wrong += [f"{model} on {name}: {k} differs from one rank's"
                      for k in sorted(kept["one"].keys() | kept[name].keys())
                      if not program.equal(kept["one"].get(k), kept[name].get(k))]
        print(model, len(kept["one"]), "tensors on", *kept)
    return wrong


def main():
    wrong = []
    for name in sys.argv[1:]:
        if name == "references":
            make_references()
        elif name == "initial_weights":
            wrong += check_initial_weights()
        else:
            wrong += check_mesh(name)
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main())
