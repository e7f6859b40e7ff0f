#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes perceptron.json: ten SGD steps of PyTorch from this program's initial weights. Needs
PyTorch.

  make_perceptron.py TRIREME
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch

SIZES = [16, 8, 5, 3]
COUNT, STEPS = 48, 10
# All images are a batch, so that their order has no effect.
DECK = {"mlp_sizes": SIZES, "train_batch_size": COUNT, "train_iters": STEPS,
        "optimizer": {"type": "SGD", "params": {"lr": 0.5, "momentum": 0.9}},
        "lr_decay_style": "constant", "weight_decay": 0, "gradient_clipping": 0,
        "split": "100, 0, 0", "extra_save_iters": [0]}


def main():
    random = np.random.default_rng(7)
    images = random.integers(0, 256, (COUNT, 4, 4)).astype("u1")
    labels = random.integers(0, SIZES[-1], COUNT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with h5py.File(folder / "images.h5", "w") as file:
            file["images"], file["labels"] = images, labels
        deck = {**DECK, "data_path": str(folder / "images.h5"), "save": str(folder / "run"),
                "train_iters": 1, "activation": "relu"}
        (folder / "deck.yml").write_text(json.dumps(deck))
        subprocess.run([sys.argv[1], "train", folder / "deck.yml"], check=True)
        with h5py.File(folder / "run/global_step0/checkpoint.h5") as file:
            first = {f"layers.{i}.{kind}": file[f"model/layers.{i}.{kind}"][()]
                     for i in range(len(SIZES) - 1) for kind in ("weight", "bias")}
    weights = {n: torch.tensor(v, requires_grad=True) for n, v in first.items()}
    optimizer = torch.optim.SGD(weights.values(), lr=0.5, momentum=0.9)
    x = torch.tensor(images.reshape(COUNT, -1), dtype=torch.float32) / 255
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        y = x
        for i in range(len(SIZES) - 1):
            y = torch.nn.functional.linear(y, weights[f"layers.{i}.weight"],
                                           weights[f"layers.{i}.bias"])
            if i + 2 < len(SIZES):
                y = torch.relu(y)
        loss = torch.nn.functional.cross_entropy(y, torch.tensor(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    golden = {"deck": DECK, "images": images.tolist(), "labels": labels.tolist(),
              "losses": losses, "first": {n: v.tolist() for n, v in first.items()},
              "last": {n: v.tolist() for n, v in weights.items()}}
    path = Path(__file__).with_name("perceptron.json")
    path.write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
