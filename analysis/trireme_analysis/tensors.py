# SPDX-License-Identifier: Apache-2.0
# What a tensor is like: norms, a histogram, singular values; by pieces, so that no tensor need
# fit in memory. `source` is a Checkpoint or a Difference of two.
import re
from dataclasses import dataclass

import numpy as np

BINS = 50  # at most; small tensors get fewer
# Of a spectrum, the least that squares in float64 can tell from zero, over the largest value.
FLOOR = 1e-7


@dataclass
class Norms:
    """Over the finite values of a tensor; `not_finite` counts the others."""

    size: int
    norm: float  # Frobenius
    low: float  # least and greatest value
    high: float
    not_finite: int

    @property
    def largest(self):
        """In magnitude."""
        return max(abs(self.low), abs(self.high))

    @property
    def rms(self):
        return self.norm / np.sqrt(self.size - self.not_finite) if self.norm else 0.0


def norms(source, name):
    size, not_finite, squares, low, high = 0, 0, 0.0, np.inf, -np.inf
    for piece in source.pieces(name):
        finite = piece[np.isfinite(piece)]
        size += piece.size
        not_finite += piece.size - finite.size
        squares += float(np.dot(finite, finite))
        low = min(low, float(finite.min(initial=np.inf)))
        high = max(high, float(finite.max(initial=-np.inf)))
    if low > high:  # nothing is finite
        low = high = 0.0
    return Norms(size, float(np.sqrt(squares)), low, high, not_finite)


def histogram(source, name, bins=None):
    """(edges, density of values in each bin) over the range of the finite values. Reads the
    tensor twice."""
    found = norms(source, name)
    bins = bins or int(np.clip(2 * np.cbrt(found.size), 4, BINS))
    wider = 0.0 if found.high > found.low else 0.5 * (found.largest or 1.0)
    edges = np.linspace(found.low - wider, found.high + wider, bins + 1)
    counts = np.zeros(bins)
    for piece in source.pieces(name):
        counts += np.histogram(piece[np.isfinite(piece)], edges)[0]
    return edges, counts / max(counts.sum(), 1) / (edges[1] - edges[0])


def singular_values(source, name):
    """Of a matrix, largest first: the roots of the eigenvalues of AᵀA or AAᵀ, whichever is the
    smaller, added up by pieces. Those below FLOOR times the largest are rounding, and come as
    NaN; so do all where a value isn't finite. Memory: 8 bytes × the shorter side squared."""
    rows, columns = source.shape(name)
    # The pieces of a cut along the longer side each give a whole term of the sum.
    axis = 0 if rows >= columns else 1
    square = np.zeros((min(rows, columns),) * 2)
    for piece in source.pieces(name, axis):
        square += piece.T @ piece if axis == 0 else piece @ piece.T
    if not np.isfinite(square).all():
        return np.full(len(square), np.nan)
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(square)[::-1], 0))
    return np.where(values > FLOOR * values[0], values, np.nan)


def layer_of(name):
    """("attention.dense.weight", 3) of "layers.3.attention.dense.weight"; of a tensor of no
    layer its name and None."""
    found = re.match(r"(?:.*\.)?layers\.(\d+)\.(.+)", name)
    return (found[2], int(found[1])) if found else (name, None)


def by_kind(names):
    """{kind: {layer or None: name}} in the order of names."""
    kinds = {}
    for name in names:
        kind, layer = layer_of(name)
        kinds.setdefault(kind, {})[layer] = name
    return kinds
