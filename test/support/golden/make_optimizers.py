#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes optimizers.h5: ten steps of each optimizer on one model of golden.h5. The references
# are classes of PyTorch (torch.optim), of pytorch_optimizer, of torch_optimizer and of madgrad.
# All arithmetic is in float64.
#
# Needs: what make_golden.py needs, and pytorch_optimizer, torch_optimizer and madgrad.
# Usage: make_optimizers.py [OUTPUT]      (default: optimizers.h5 beside this file)
#
# Layout: one group per optimizer, whose attributes are Trireme's settings. Datasets losses and
# norms are float64 [10]: the loss before each update, and the norm before clipping. The root's
# attribute case names the model in golden.h5. Weight decay falls on matrices alone.
#
# PyTorch's Muon iterates in bfloat16. Here its request for bfloat16 gets float64.
import sys
from importlib.metadata import version
from pathlib import Path

import h5py
import madgrad
import numpy as np
import pytorch_optimizer
import torch
import torch_optimizer
from make_golden import CASES, STEPS, AllDouble, hf_model, loss_of, to_hf

CASE = "neox_tied_tanh"


class MuonAndAdamW:
    """Matrices of layers by Muon, all else by AdamW."""

    def __init__(self, named, s):
        muon = [
            p for n, p in named if p.ndim == 2 and "embed" not in n and "lm_head" not in n
        ]
        ids = {id(p) for p in muon}
        rest = [p for _, p in named if id(p) not in ids]
        self.parts = [
            torch.optim.Muon(
                muon,
                lr=s["lr"],
                momentum=s["momentum"],
                weight_decay=s["weight_decay"],
                eps=1e-30,  # clamps the norm, while Trireme adds 1e-7 to it
            ),
            torch.optim.AdamW(
                [
                    dict(params=[p for p in rest if p.ndim > 1]),
                    dict(params=[p for p in rest if p.ndim < 2], weight_decay=0.0),
                ],
                lr=s["adam_lr"],
                betas=(s["beta1"], s["beta2"]),
                eps=s["eps"],
                weight_decay=s["weight_decay"],
            ),
        ]

    def step(self):
        true = torch.bfloat16
        torch.bfloat16 = torch.float64
        try:
            for part in self.parts:
                part.step()
        finally:
            torch.bfloat16 = true


def groups(named, s):
    return [
        dict(params=[p for _, p in named if p.ndim > 1], weight_decay=s["weight_decay"]),
        dict(params=[p for _, p in named if p.ndim < 2], weight_decay=0.0),
    ]


def betas(s):
    return s["beta1"], s["beta2"]


ADAM = dict(beta1=0.9, beta2=0.95, eps=1e-8)
OPTIMIZERS = {
    "sgd_nesterov": (
        dict(type="SGD", lr=0.1, momentum=0.9, nesterov=1, weight_decay=0.1),
        lambda n, s: torch.optim.SGD(groups(n, s), s["lr"], s["momentum"], nesterov=True),
    ),
    "sgd_dampened": (
        dict(type="SGD", lr=0.2, momentum=0.8, dampening=0.4, weight_decay=0.1),
        lambda n, s: torch.optim.SGD(groups(n, s), s["lr"], s["momentum"], s["dampening"]),
    ),
    "adam_l2": (
        dict(type="Adam", lr=3e-3, weight_decay=0.1, **ADAM),
        lambda n, s: torch.optim.Adam(groups(n, s), s["lr"], betas(s), s["eps"]),
    ),
    "lion": (
        dict(type="Lion", lr=1e-3, beta1=0.9, beta2=0.99, weight_decay=0.3),
        lambda n, s: pytorch_optimizer.Lion(groups(n, s), s["lr"], betas(s)),
    ),
    "adagrad": (
        dict(
            type="Adagrad",
            lr=2e-2,
            lr_decay=0.05,
            initial_accumulator_value=0.01,
            eps=1e-10,
            weight_decay=0.1,
        ),
        lambda n, s: torch.optim.Adagrad(
            groups(n, s),
            s["lr"],
            s["lr_decay"],
            initial_accumulator_value=s["initial_accumulator_value"],
            eps=s["eps"],
        ),
    ),
    "madgrad": (
        dict(type="madgrad_wd", lr=1e-2, momentum=0.9, eps=1e-6, weight_decay=0.0),
        lambda n, s: madgrad.MADGRAD(groups(n, s), s["lr"], s["momentum"], eps=s["eps"]),
    ),
    "madgrad_still": (
        dict(type="madgrad_wd", lr=1e-2, momentum=0.0, eps=1e-6, weight_decay=0.0),
        lambda n, s: madgrad.MADGRAD(groups(n, s), s["lr"], 0.0, eps=s["eps"]),
    ),
    "lamb": (
        dict(type="Lamb", lr=1e-2, weight_decay=0.1, max_coeff=1e9, min_coeff=0, **ADAM),
        lambda n, s: torch_optimizer.Lamb(
            groups(n, s), s["lr"], betas(s), s["eps"], clamp_value=1e9, debias=True
        ),
    ),
    "adafactor": (
        dict(
            type="Adafactor",
            lr=5e-2,
            beta2_decay=-0.8,
            eps=float(np.finfo(np.float32).eps),
            eps2=1e-3,
            d=1.0,
            weight_decay=0.1,
        ),
        lambda n, s: torch.optim.Adafactor(
            groups(n, s), s["lr"], s["beta2_decay"], (s["eps"], s["eps2"]), s["d"]
        ),
    ),
    "muon": (
        dict(
            type="Muon",
            lr=2e-2,
            adam_lr=3e-3,
            momentum=0.95,
            beta1=0.9,
            beta2=0.95,
            eps=1e-10,
            weight_decay=0.1,
        ),
        MuonAndAdamW,
    ),
    "sm3": (
        dict(type="SM3", lr=5e-2, momentum=0.9, beta=0.9, eps=1e-30, weight_decay=0.0),
        lambda n, s: pytorch_optimizer.SM3(
            [p for _, p in n], s["lr"], s["momentum"], s["beta"], s["eps"]
        ),
    ),
    "sm3_still": (
        dict(type="SM3", lr=5e-2, momentum=0.0, beta=0.0, eps=1e-30, weight_decay=0.0),
        lambda n, s: pytorch_optimizer.SM3([p for _, p in n], s["lr"], eps=s["eps"]),
    ),
}


def run(c, params, steps_tokens, settings, make):
    model = hf_model(c).to(torch.float64).eval()
    model.load_state_dict(to_hf(c, model, params), strict=False)
    named = list(model.named_parameters())
    opt = make(named, settings)
    losses, norms = [], []
    for tokens in steps_tokens:
        model.zero_grad(set_to_none=True)
        _, loss = loss_of(model, tokens)
        loss.backward()
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0).item())
        opt.step()
    return losses, norms


def main():
    here = Path(__file__).parent
    output = sys.argv[1] if len(sys.argv) > 1 else here / "optimizers.h5"
    with h5py.File(here / "golden.h5") as golden:
        params = {}
        golden[CASE]["param"].visititems(
            lambda n, d: params.__setitem__(n.replace("/", "."), d[()])
            if isinstance(d, h5py.Dataset)
            else None
        )
        steps_tokens = golden[CASE]["steps_tokens"][()]
    torch.set_default_dtype(torch.float64)
    with h5py.File(output, "w") as out, AllDouble():
        out.attrs["case"] = np.bytes_(CASE)
        packages = ("torch", "pytorch_optimizer", "torch_optimizer", "madgrad")
        out.attrs["made_with"] = np.bytes_(
            ", ".join(f"{name} {version(name)}" for name in packages)
        )
        for name, (settings, make) in OPTIMIZERS.items():
            losses, norms = run(CASES[CASE], params, steps_tokens, settings, make)
            assert len(losses) == STEPS and losses[-1] < losses[0], (name, losses)
            g = out.create_group(name)
            for key, value in settings.items():
                g.attrs[key] = np.bytes_(value) if isinstance(value, str) else float(value)
            g["losses"], g["norms"] = losses, norms
            print(f"{name:14} {losses[0]:.6f} -> {losses[-1]:.6f}")


if __name__ == "__main__":
    main()
