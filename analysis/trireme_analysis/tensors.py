# SPDX-License-Identifier: Apache-2.0
# Properties of a tensor: norms, a histogram, singular values. They are computed in pieces, so
# that no tensor need fit in memory. `source` is a Checkpoint or a Difference.
import re
from dataclasses import dataclass

import numpy as np

BINS = 50  # most bins; small tensors get fewer
# The smallest singular value that squares in float64 can tell from zero, relative to the
# largest.
FLOOR = 1e-7


@dataclass
class Norms:
    """Statistics of a tensor's finite values; `not_finite` counts the others."""

    size: int
    norm: float  # Frobenius norm
    low: float  # smallest and largest value
    high: float
    not_finite: int

    @property
    def largest(self):
        """The largest magnitude."""
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
    if low > high:  # no value is finite
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
    """A matrix's singular values, largest first. They are roots of the eigenvalues of AᵀA or
    AAᵀ, whichever is smaller, summed over pieces. Values below FLOOR times the largest are
    rounding errors and become NaN. All are NaN if an element isn't finite. Memory: 8 bytes ×
    the shorter side squared."""
    rows, columns = source.shape(name)
    # Each piece along the longer side gives a whole term of the sum.
    axis = 0 if rows >= columns else 1
    square = np.zeros((min(rows, columns),) * 2)
    for piece in source.pieces(name, axis):
        square += piece.T @ piece if axis == 0 else piece @ piece.T
    if not np.isfinite(square).all():
        return np.full(len(square), np.nan)
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(square)[::-1], 0))
    return np.where(values > FLOOR * values[0], values, np.nan)


def layer_of(name):
    """("attention.dense.weight", 3) for "layers.3.attention.dense.weight"; (name, None) for a
    tensor outside the layers."""
    found = re.match(r"(?:.*\.)?layers\.(\d+)\.(.+)", name)
    return (found[2], int(found[1])) if found else (name, None)


def by_kind(names):
    """{kind: {layer or None: name}} in the order of names."""
    kinds = {}
    for name in names:
        kind, layer = layer_of(name)
        kinds.setdefault(kind, {})[layer] = name
    return kinds
