#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Reads a checkpoint with h5py alone: read_checkpoint.py SAVE/global_step100/checkpoint.h5
import sys

import h5py
import numpy as np

# HDF5 reports no error for a missing shard: its elements read as NaN. `trireme inspect
# --verify` proves that a checkpoint is complete.
with h5py.File(sys.argv[1], "r") as file:
    print(f"iteration {file.attrs['iteration']}")
    for name, array in file["model"].items():
        print(f"{name}: {array.shape}, norm {np.linalg.norm(array[:]):.6g}")
    # the whole array, whatever layout wrote it
    moment = file["optimizer/exp_avg/embed_in.weight"]
    print(f"{moment.name}: {moment.shape}, norm {np.linalg.norm(moment[:]):.6g}")
