# SPDX-License-Identifier: Apache-2.0
# Reads and draws the HDF5 files that Trireme writes. Needs h5py, NumPy and Matplotlib.
