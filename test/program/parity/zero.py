#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Settings that save memory change no bit. ZeRO's stages, overlap, activation checkpointing and
the limits of stage 3 are compared with stage 0 on each mesh. `reduce_once_per_step` is
compared at the stages that have it.

  zero.py MESH...        sixteen runs in each of which every two levers meet (OA(16, 4^5))
  zero.py few MESH...    four of those, each stage, recomputation and limit once
  zero.py all [MESH...]  the whole product of stage, overlap, accumulation, recomputation and
                         precision, 128 runs a mesh; other settings alternate

"""
import itertools
import shutil
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

BASE = {
    "num_attention_heads": 4,
    "hidden_size": 16,
    "seq_length": 16,
    "train_batch_size": 16,
    "train_iters": 6,
    "lr": 3e-3,
    "warmup": 0.3,
    "weight_decay": 0.1,
    "seed": 99,
    "log_interval": 3,
    "eval_interval": 3,
    "eval_iters": 1,
    "split": "80,10,10",
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
}
SGD = {"type": "SGD", "params": {"momentum": 0.9}}
MODELS = {
    "neox": {"pos_emb": "rotary", "gpt_j_residual": True, "no_weight_tying": True,
             "gradient_clipping": 0.4},
    "tied": {"pos_emb": "learned", "no_weight_tying": False, "lr": 0.05, "optimizer": SGD,
             "gradient_clipping": 1.0},
    "llama": {"pos_emb": "rotary", "norm": "rmsnorm", "activation": "swiglu",
              "num_kv_heads": 2, "intermediate_size": 60, "no_weight_tying": False,
              "use_bias_in_attn_linear": False, "use_bias_in_mlp": False,
              "gradient_clipping": 0.7},
    "gptj": {"pos_emb": "none", "gpt_j_residual": True, "gpt_j_tied": True, "lr": 0.05,
             "no_weight_tying": True, "optimizer": SGD, "gradient_clipping": 0.5},
}


def mesh(dp=1, tp=1, pp=1, layers=3, **options):
    deck = {"model_parallel_size": tp, "pipe_parallel_size": pp, "num_layers": layers}
    return dp * tp * pp, {**deck, **options}


INTERLEAVED = {"pp": 2, "layers": 4, "virtual_pipeline_chunks": 2}
MESHES = {
    "tp2": mesh(tp=2),
    "dp2": mesh(dp=2),
    "dp3": mesh(dp=3, train_batch_size=12),
    "dp4": mesh(dp=4),
    "dp2_tp2": mesh(dp=2, tp=2),
    "dp2_tp2_sp": mesh(dp=2, tp=2, sequence_parallel=True),
    "dp2_pp2": mesh(dp=2, pp=2, layers=2),  # few groups: one layer a stage
    "dp2_pp2_gpipe": mesh(dp=2, pp=2, pipeline_schedule="gpipe"),
    "dp2_pp2_interleaved": mesh(dp=2, **INTERLEAVED),
    "dp2_tp2_pp2": mesh(dp=2, tp=2, pp=2),
    "dp2_tp2_pp2_sp_interleaved": mesh(dp=2, tp=2, **INTERLEAVED, sequence_parallel=True),
}
RECOMPUTE = [
    {},
    {"checkpoint_activations": True, "recompute_granularity": "selective"},
    {"checkpoint_activations": True, "checkpoint_num_layers": 1},
    {"checkpoint_activations": True, "checkpoint_num_layers": 2},
]
HUGE = 10**12
LIMITS = [
    {"stage3_prefetch_bucket_size": 0},
    {"stage3_prefetch_bucket_size": HUGE, "stage3_max_live_parameters": HUGE,
     "sub_group_size": 1000},
    {"stage3_max_live_parameters": 0, "sub_group_size": 7},
    {"stage3_prefetch_bucket_size": 3001, "stage3_max_live_parameters": 1},
]
LAYOUTS = [  # layouts that decide the order of the norm's sum, and so its last bit
    {"stage3_param_persistence_threshold": 0},
    {"stage3_param_persistence_threshold": 100, "reduce_bucket_size": 997},
    {"stage3_param_persistence_threshold": 0, "allgather_bucket_size": 1501},
    {"stage3_param_persistence_threshold": 100, "reduce_bucket_size": 1},
]
PRECISIONS = ["fp32", "bfloat16"]
EXACT = ["train/iteration", "train/samples", "train/loss", "train/learning_rate",
         "train/grad_norm", "train/loss_scale", "train/skipped", "valid/iteration",
         "valid/loss", "test/loss"]


def square_of_pairs():
    """Sixteen rows of five numbers below 4. Any two columns hold each pair once: lines over the
    field of four elements, whose sum is ^."""
    by_x, by_x_plus_1 = [0, 2, 3, 1], [0, 3, 1, 2]
    return [(a, b, a ^ b, a ^ by_x[b], a ^ by_x_plus_1[b])
            for a, b in itertools.product(range(4), repeat=2)]


def settings(name, whole, few=False):
    """(stage, overlap, accumulation, recomputation, precision, number of limits, shared out)
    of each run on this mesh."""
    turn = list(MESHES).index(name)
    if whole:
        product = itertools.product(range(4), (True, False), (1, 4), range(4), PRECISIONS)
        return [(*levers, (i // 5 + i + turn) % 4, (i // 3) % 2 == 0)
                for i, levers in enumerate(product)]
    rows = square_of_pairs()
    if few:  # a line on which the first four levers take each value once
        rows = [(*rows[i][:4], i // 4) for i in (0, 6, 11, 13)]
    return [(stage, (c ^ turn) % 2 == 0, 4 if c & 2 else 1, recompute, PRECISIONS[e & 1],
             d, bool(e & 2) != bool(turn % 2))
            for stage, recompute, c, d, e in rows]


def state_of(folder, exact=EXACT):
    """What must agree: columns of a run's metrics, and its last checkpoint."""
    columns = program.read_metrics(folder)
    last = columns["train/iteration"][-1]
    arrays = program.read_checkpoint(folder / f"global_step{last}")
    return {**{name: columns[name] for name in exact}, **arrays}


def differences(got, expected):
    return [name for name in sorted(got.keys() | expected.keys())
            if not program.equal(got.get(name), expected.get(name))]


class Mesh:
    """Runs on one mesh, and the runs that they must equal."""

    def __init__(self, name, test="zero"):
        self.name, self.turn = name, list(MESHES).index(name)
        self.ranks, self.deck = MESHES[name]
        self.folder = program.work_folder(f"{test}_{name}")
        self.data = program.make_tokens(self.folder)
        self.references = {}
        self.wrong, self.count, self.said = [], 0, ""

    def train(self, accumulation, precision, zero, **more):
        """Model and layout alternate with accumulation and precision."""
        turn = (self.turn + (accumulation > 1) + 2 * PRECISIONS.index(precision)) % 4
        folder = self.folder / f"{self.count}"
        self.count += 1
        deck = {**BASE, **MODELS[list(MODELS)[turn]], **self.deck, "precision": precision,
                "gradient_accumulation_steps": accumulation, "data_path": str(self.data),
                "save": str(folder), "zero_optimization": {**LAYOUTS[turn], **zero}, **more}
        path = program.write_deck(folder / "deck.yml", deck)
        self.said = program.run_well(self.ranks, "train", path)
        return folder

    def reference(self, accumulation, precision):
        key = accumulation, precision
        if key not in self.references:
            state = state_of(self.train(*key, {"stage": 0}))
            loss, norm = state["train/loss"], state["train/grad_norm"]
            assert np.isfinite(loss).all() and loss[-1] < loss[0] - 0.05, f"{key}: {loss}"
            assert (norm > 0.7).any(), f"{key}: {norm} is never clipped"
            self.references[key] = state
        return self.references[key]

    def compare(self, what, expected, accumulation, precision, zero, **more):
        folder = self.train(accumulation, precision, zero, **more)
        state = state_of(folder)
        off = differences(state, expected)
        if off:
            self.wrong.append(f"{what}: {len(off)} differ, first {off[:3]} ({folder})")
            for name in ("train/loss", "train/grad_norm"):
                if name in off:
                    self.wrong.append(f"  {name} {state[name]}, not {expected[name]}")
        else:
            shutil.rmtree(folder)  # folders of runs that differ stay, to be looked at
        return state

    def levers(self, whole, few=False):
        for stage, overlap, accumulation, recompute, precision, limits, share in settings(
                self.name, whole, few):
            zero = {"stage": stage, "overlap_comm": overlap, **LIMITS[limits]}
            more = dict(RECOMPUTE[recompute])
            if recompute >= 2:
                more["partition_activations"] = share
            self.compare(f"{self.name} stage {stage} overlap {overlap} accumulation "
                         f"{accumulation} recompute {recompute} {precision} limits {limits}",
                         self.reference(accumulation, precision), accumulation, precision,
                         zero, **more)

    def layouts(self):
        """Other layouts: all but the norm's last bits agree."""
        key = 4, PRECISIONS[self.turn % 2]
        expected = self.reference(*key)
        for stage, layout in ((0, LAYOUTS[1]), (3, LAYOUTS[2])):
            state = state_of(self.train(*key, {"stage": stage, **layout}))
            off = differences(state, expected)
            near = np.allclose(state["train/grad_norm"], expected["train/grad_norm"], 1e-14, 0)
            if set(off) - {"train/grad_norm"} or not near:
                self.wrong.append(f"{self.name} stage {stage}, {layout}: {off}")

    def reduce_once(self):
        """Stages 0 and 1 agree, and with one micro-batch the setting changes no bit."""
        for accumulation, precision in itertools.product((1, 4), PRECISIONS):
            expected = self.reference(1, precision) if accumulation == 1 else None
            for stage in (0, 1):
                zero = {"stage": stage, "reduce_once_per_step": True,
                        "overlap_comm": (stage == 0) == (precision == "fp32")}
                what = f"{self.name} once, stage {stage} × {accumulation} {precision}"
                if expected is None:
                    expected = state_of(self.train(accumulation, precision, zero))
                else:
                    self.compare(what, expected, accumulation, precision, zero)


def main():
    names = sys.argv[1:]
    whole, few = names[0] == "all", names[0] == "few"
    names = names[whole or few:] or list(MESHES)
    failed = 0
    for name in names:
        begun = time.monotonic()
        m = Mesh(name)
        m.levers(whole, few)
        if not few:
            m.layouts()
            m.reduce_once()
        print(*m.wrong, sep="\n", end="\n" if m.wrong else "")
        print(f"{name}: {m.count} runs in {time.monotonic() - begun:.0f} s", flush=True)
        failed += program.finish(m.folder, len(m.wrong))
    return min(failed, 1)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main())
