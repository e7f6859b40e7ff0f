#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes 1,797 handwritten digits as images with classes: those of scikit-learn (UCI's optical
digits, 8 × 8), enlarged to 28 × 28 as MNIST's are, in an order that depends on nothing.

  digits.py OUTPUT.h5 [digits.csv.gz]    # by default that of Debian's python3-sklearn
"""
import gzip
import sys
from pathlib import Path

import h5py
import numpy as np

DEBIAN = "/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz"
SIZE = 28


def enlarged(images, size):
    """[n, h, w] to [n, size, size], linear between pixels."""
    for axis in (1, 2):
        at = np.linspace(0, images.shape[axis] - 1, size)
        low = np.minimum(at.astype(int), images.shape[axis] - 2)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        images = (np.take(images, low, axis) * (1 - share)
                  + np.take(images, low + 1, axis) * share)
    return images


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = Path(sys.argv[2] if len(sys.argv) == 3 else DEBIAN)
    if not source.exists():
        sys.exit(f"{source}: there is no such file; apt install python3-sklearn, or name "
                 "another copy")
    with gzip.open(source, "rt") as text:
        rows = np.loadtxt(text, delimiter=",")
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    images = enlarged(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16), SIZE)
    with h5py.File(sys.argv[1], "w") as file:
        file["images"] = np.round(images).astype("u1")
        file["labels"] = rows[:, -1].astype("u1")
        file.attrs["classes"] = 10
    print(f"{sys.argv[1]}: {len(rows)} images of {SIZE} × {SIZE}, 10 classes")


if __name__ == "__main__":
    main()
