# SPDX-License-Identifier: Apache-2.0
# Checkpoint: the tensors of one checkpoint.h5, read in pieces.
import re
from fnmatch import fnmatchcase
from pathlib import Path

from . import closed  # sets HDF5's environment before h5py is loaded
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
        self.group = group
        self._trusted = set()  # names whose sources were looked at
        try:
            self._tensors = closed.member(self._file, self._stored(GROUPS[group]))
        except KeyError:
            self.close()
            raise RunError(
                f"{self.path}: no /{GROUPS[group]}; it was saved without (key no_save_optim)"
            ) from None
        except ValueError as error:
            self.close()
            raise RunError(f"{self.path}: {error}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._file.close()

    def _stored(self, group):
        """Where a group's tensors are: masters may be the values themselves, behind a link."""
        optimizer, _, name = group.partition("/")
        if name != "master" or not closed.has(self._file, optimizer):
            return group
        parent = closed.member(self._file, optimizer)
        if not closed.has(parent, name) or not closed.is_link(parent, name):
            return group
        link = parent.get(name, getlink=True)
        if not isinstance(link, h5py.SoftLink) or link.path != "/model":
            raise ValueError(f"/{group} is a link, but not to /model")
        return "model"

    def _tensor(self, name):
        """A tensor whose elements are in this file or in shards beside it. Raises RunError."""
        try:
            tensor = closed.member(self._tensors, name)
            if tensor.is_virtual and name not in self._trusted:
                for source in tensor.virtual_sources():
                    self._require_own(source)
                self._trusted.add(name)
            return tensor
        except (KeyError, ValueError) as error:
            raise RunError(f"{self.path}: {error.args[0]}") from None

    def _require_own(self, source):
        if not re.fullmatch(r"shard-[0-9]{5,}\.h5", source.file_name):
            raise ValueError(f"{source.file_name} is no shard's name")
        if source.vspace.get_select_npoints() > 1 << 60:  # without limit
            raise ValueError(f"a source of {source.file_name} has no limit")
        shard = self.path.parent / source.file_name
        if shard.is_file():
            with h5py.File(shard, "r") as file:
                closed.array(file, source.dset_name)

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
        stored = sorted(closed.members(self._tensors), key=_place)
        names = [name for name in stored if fnmatchcase(name, pattern)]
        if not names:
            some = ", ".join(stored[:3])
            raise RunError(f"{self.path}: no tensor matches '{pattern}'; there are {some}, …")
        return names

    def __contains__(self, name):
        return closed.has(self._tensors, name)

    def shape(self, name):
        return self._tensor(name).shape

    def pieces(self, name, axis=0):
        """Yields the tensor in pieces along `axis` (0, or 1 for a matrix), in order. Pieces are
        float64 arrays of at most PIECE elements, or one row. The pieces do not depend on the
        stored type."""
        tensor = self._tensor(name)
        length = tensor.shape[axis]
        step = max(1, PIECE * length // max(tensor.size, 1))
        for at in range(0, length, step):
            window = slice(at, at + step)
            block = tensor[window] if axis == 0 else tensor[:, window]
            yield np.asarray(block, dtype=np.float64)

    def missing_shards(self):
        """Missing files that hold parts of tensors: these parts read as NaN."""
        files = set()
        for name in closed.members(self._tensors):
            tensor = closed.member(self._tensors, name)
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
