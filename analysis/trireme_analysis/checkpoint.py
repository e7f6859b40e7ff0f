# SPDX-License-Identifier: Apache-2.0
# Checkpoint: the tensors of one checkpoint.h5, read in pieces.
import os
from fnmatch import fnmatchcase
from pathlib import Path

from . import run as _  # sets HDF5's file locking before h5py is loaded
import h5py
import numpy as np

from .run import RunError

FILE = "checkpoint.h5"
# Names of groups for users, and the HDF5 group of each.
GROUPS = {
    "model": "model",
    "master": "optimizer/master",
    "exp_avg": "optimizer/exp_avg",
    "exp_avg_sq": "optimizer/exp_avg_sq",
}
PIECE = 4 << 20  # most elements of a piece; rows stay whole


class Checkpoint:
    """Tensors by the model's names, in their global shapes, whatever layout wrote them. A
    context manager: the file stays open until close()."""

    def __init__(self, place, group="model"):
        """`place`: a checkpoint.h5, its folder, or a run's folder with a file `latest`.
        `group`: a name in GROUPS. Raises RunError."""
        self.path = _find(Path(place))
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise RunError(f"{self.path}: not a readable HDF5 file ({error})") from None
        if GROUPS[group] not in self._file:
            self.close()
            raise RunError(
                f"{self.path}: no /{GROUPS[group]}; it was saved without (key no_save_optim)"
            )
        self.group = group
        self._tensors = self._file[GROUPS[group]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._file.close()

    @property
    def attributes(self):
        """The file's attributes: iteration, samples_consumed, deck, mesh, …."""
        return dict(self._file.attrs)

    @property
    def name(self):
        """A short name: RUN/global_stepN."""
        folder = self.path.resolve().parent
        return f"{folder.parent.name}/{folder.name}"

    def names(self, pattern="*"):
        """Names of tensors that match the glob, in the order of layers. Raises RunError."""
        names = sorted(filter(lambda n: fnmatchcase(n, pattern), self._tensors), key=_place)
        if not names:
            some = ", ".join(sorted(self._tensors, key=_place)[:3])
            raise RunError(f"{self.path}: no tensor matches '{pattern}'; there are {some}, …")
        return names

    def __contains__(self, name):
        return name in self._tensors

    def shape(self, name):
        return self._tensors[name].shape

    def pieces(self, name, axis=0):
        """Yields the tensor in pieces along `axis` (0, or 1 for a matrix), in order. Pieces are
        float64 arrays of at most PIECE elements, or one row. The pieces do not depend on the
        stored type."""
        tensor = self._tensors[name]
        length = tensor.shape[axis]
        step = max(1, PIECE * length // max(tensor.size, 1))
        for at in range(0, length, step):
            window = slice(at, at + step)
            block = tensor[window] if axis == 0 else tensor[:, window]
            yield np.asarray(block, dtype=np.float64)

    def missing_shards(self):
        """Missing files that hold parts of tensors: these parts read as NaN."""
        files = set()
        for tensor in self._tensors.values():
            if tensor.is_virtual:
                files |= {source.file_name for source in tensor.virtual_sources()}
        return sorted(name for name in files if not (self.path.parent / name).is_file())


class Difference:
    """The tensors of Checkpoint `second` minus those of Checkpoint `first`, with Checkpoint's
    interface. Has the names that both checkpoints hold in equal shapes."""

    def __init__(self, first, second):
        self.first, self.second = first, second

    @property
    def name(self):
        return f"{self.second.name} − {self.first.name}"

    def names(self, pattern="*"):
        shared = [name for name in self.first.names(pattern) if self._same(name)]
        if not shared:
            raise RunError(
                f"{self.first.path} and {self.second.path} share no tensor that matches "
                f"'{pattern}' in name and shape"
            )
        return shared

    def left_out(self, pattern="*"):
        """Names that only one checkpoint has, or whose shapes differ."""
        of_second = [n for n in self.second.names(pattern) if n not in self.first]
        return [n for n in self.first.names(pattern) if not self._same(n)] + of_second

    def _same(self, name):
        return name in self.second and self.first.shape(name) == self.second.shape(name)

    def shape(self, name):
        return self.first.shape(name)

    def pieces(self, name, axis=0):
        pairs = zip(self.first.pieces(name, axis), self.second.pieces(name, axis))
        yield from (b - a for a, b in pairs)

    def missing_shards(self):
        return [
            str(checkpoint.path.parent / shard)
            for checkpoint in (self.first, self.second)
            for shard in checkpoint.missing_shards()
        ]


def _find(place):
    if place.is_file() and place.name != "latest":
        return place
    if (place / FILE).is_file():
        return place / FILE
    latest = place / "latest"
    if latest.is_file():
        path = place / latest.read_text(encoding="utf-8").strip() / FILE
        if path.is_file():
            return path
        raise RunError(f"{path}: no such file, though {latest} names it; name another")
    raise RunError(f"{place}: neither {FILE}, nor a folder with it or with `latest`")


def _place(name):
    """A sort key that orders layers as numbers."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.split(".")]
