# SPDX-License-Identifier: Apache-2.0
"""The built program from outside: start it under mpirun, make its data, read its files.

Environment variables:
  TRIREME               the program; default build/trireme of this source tree
  TRIREME_MPIRUN        the launcher with its options
  TRIREME_TEST_FOLDER   where to write; default a temporary folder, removed at the end
  TRIREME_SETTINGS      key=value key=value over all decks; device=cuda runs tests on a GPU

"""
import atexit
import contextlib
import ctypes
import functools
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

SOURCE = Path(__file__).resolve().parents[2]
# Scripts of one folder use those of another.
sys.path += [str(Path(__file__).parent / room) for room in ("parity", "failure", "gpu")]
PROGRAM = Path(os.environ.get("TRIREME", SOURCE / "build" / "trireme")).resolve()
MPIRUN = shlex.split(os.environ.get("TRIREME_MPIRUN", "mpirun"))
SETTINGS = shlex.split(os.environ.get("TRIREME_SETTINGS", ""))

# What a run leaves in its folder besides checkpoints.
RUN_FILES = {"deck.yml", "environment.txt", "log.txt", "metrics.h5"}

# The launcher's settings: see there.
LAUNCH = dict(
    line.split("=", 1)
    for line in (SOURCE / "test/support/launcher.env").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


@functools.cache
def launcher_folder():
    """Where Open MPI keeps what its processes share. Programs without a launcher would share
    one folder between all tests, and the first to end removes it."""
    folder = tempfile.mkdtemp(prefix="ompi-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def environment(threads=1, **more):
    """For subprocesses: this environment, the launcher's settings, and threads a rank."""
    return {**os.environ, **LAUNCH, "OMPI_MCA_orte_tmpdir_base": launcher_folder(),
            "OMP_NUM_THREADS": str(threads), **more}


@functools.cache
def root_folder():
    """The folder where all tests write."""
    root = os.environ.get("TRIREME_TEST_FOLDER")
    if root is None:
        root = tempfile.mkdtemp(prefix="trireme-")
        atexit.register(shutil.rmtree, root, ignore_errors=True)
    return Path(root)


def shared_folder(name):
    """A folder that another test may have made already."""
    folder = root_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def work_folder(name):
    """A new, empty folder of this test."""
    shutil.rmtree(root_folder() / name, ignore_errors=True)
    return shared_folder(name)


def command(ranks, *arguments):
    """The command line that starts the program on `ranks` ranks."""
    words = [*MPIRUN, "-np", str(ranks), str(PROGRAM), *map(str, arguments)]
    for setting in SETTINGS if arguments[:1] == ("train",) else []:
        words += ["--set", setting]
    return words


def start(ranks, *arguments, threads=1, variables=None, **options):
    """A Popen of the program in its own session, so that stop() reaches all its processes."""
    return subprocess.Popen(
        command(ranks, *arguments),
        env=environment(threads, **(variables or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def stop(process):
    """Ends the launcher, which ends its ranks; processes left after 5 s are killed."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def run(ranks, *arguments, timeout=120, **options):
    """Runs the program to its end: a CompletedProcess, whatever the exit code."""
    process = start(ranks, *arguments, **options)
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        stop(process)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_well(ranks, *arguments, **options):
    """Runs the program, which must succeed, and returns its output."""
    done = run(ranks, *arguments, **options)
    if done.returncode != 0:
        raise AssertionError(
            f"exit code {done.returncode} of {shlex.join(done.args)}\n"
            f"{done.stdout}{done.stderr}"
        )
    return done.stdout + done.stderr


def ranks_of(deck):
    """{rank: process id} of all that run this deck under a launcher."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if str(deck).encode() not in words or words[0] != bytes(PROGRAM):
                continue
            for setting in (entry / "environ").read_bytes().split(b"\0"):
                name, _, value = setting.partition(b"=")
                if name in (b"OMPI_COMM_WORLD_RANK", b"PMIX_RANK"):
                    found[int(value)] = int(entry.name)
    return found


def write_deck(path, deck):
    """Writes a deck from a dictionary, for CPUs unless it says otherwise; JSON is YAML."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    deck = {"device": "cpu", **deck}
    if "data_path" in deck:  # the default warns that a small corpus has no test part
        deck.setdefault("split", "969, 31, 0")
    path.write_text(json.dumps(deck, indent=1) + "\n", encoding="utf-8")
    return path


def make_text(characters=60_000, seed=1):
    """Words in documents of a few lines, separated by empty lines: learnable, not constant."""
    draw = random.Random(seed)
    syllables = ["ka", "lo", "mi", "tre", "ser", "un", "dor", "é", "pi", "quo", "nal", "st"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(300)]
    documents, length = [], 0
    while length < characters:
        lines = [" ".join(draw.choices(words, k=8)) + "." for _ in range(draw.randint(1, 5))]
        documents.append("\n".join(lines))
        length += len(documents[-1]) + 2
    return "\n\n".join(documents) + "\n"


def make_tokens(folder, characters=60_000, seed=1):
    """A token file made by `trireme prepare`: bytes, vocabulary 257."""
    text, tokens = Path(folder) / "text.txt", Path(folder) / "tokens.h5"
    text.write_text(make_text(characters, seed), encoding="utf-8")
    run_well(
        1, "prepare", "--input", text, "--output", tokens, "--document-separator", r"\n\n"
    )
    return tokens


def token_offset(path):
    """Where a token file's first token is, in bytes."""
    with h5py.File(path, "r") as file:
        at = file["tokens"].id.get_chunk_info(0).byte_offset
        # Earlier versions of HDF5 forget the user block (its issue 3003).
        forgets = h5py.version.hdf5_version_tuple < (1, 14, 4)
        return at + file.userblock_size if forgets else at


def write_old_tokens(source, path, change=lambda tokens: None):
    """A copy of a token file in format version 1, without checksums, after change(tokens)."""
    with h5py.File(source, "r") as good, h5py.File(path, "w") as old:
        old.attrs.update(good.attrs)
        old.attrs["format_version"] = 1
        tokens = good["tokens"][:]
        change(tokens)
        old["tokens"], old["documents"] = tokens, good["documents"][:]
    return path


def read_metrics(run_folder):
    """All of metrics.h5's columns by path: {"train/loss": array, …}."""
    columns = {}
    with h5py.File(Path(run_folder) / "metrics.h5", "r") as file:
        file.visititems(
            lambda name, item: columns.update({name: item[()]})
            if isinstance(item, h5py.Dataset)
            else None
        )
    return columns


def read_checkpoint(folder):
    """A checkpoint's whole arrays, assembled from the shards' boxes: {name: array}."""
    arrays, covered = {}, {}
    for shard in sorted(Path(folder).glob("shard-*.h5")):
        with h5py.File(shard, "r") as file:

            def take(path, piece):
                if not isinstance(piece, h5py.Dataset):
                    return
                name = path.rsplit("@", 1)[0]
                shape = tuple(piece.attrs["global_shape"])
                offset = piece.attrs["offset"]
                box = tuple(slice(o, o + n) for o, n in zip(offset, piece.shape))
                arrays.setdefault(name, np.zeros(shape, piece.dtype))[box] = piece[()]
                covered.setdefault(name, np.zeros(shape, np.int8))[box] += 1

            file.visititems(take)
    for name, count in covered.items():
        assert (count == 1).all(), f"{folder}: {name} is not tiled by its pieces"
    assert arrays, f"{folder}: no arrays"
    return arrays


def read_whole(folder):
    """A checkpoint's whole arrays, read through checkpoint.h5 alone."""
    arrays = {}
    with h5py.File(Path(folder) / "checkpoint.h5", "r") as file:
        file.visititems(
            lambda name, item: arrays.update({name: item[()]})
            if isinstance(item, h5py.Dataset) and not name.startswith("storage/")
            else None
        )
    return arrays


@functools.cache
def xxh3_function():
    function = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
    function.restype, function.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
    return function


def xxh3(data):
    """The checksum of data as checkpoints hold it, a signed integer."""
    return int(np.uint64(xxh3_function()(data, len(data))).astype(np.int64))


def seal(checkpoint):
    """Corrects the checksum of checkpoint.h5 after h5py has changed the file."""
    file = Path(checkpoint) / "checkpoint.h5"
    data = file.read_bytes()
    line, rest = data[:512].split(b"\n")
    line = line[:-16] + b"%016x\n" % (xxh3(data[512:]) % (1 << 64))
    file.write_bytes(line + rest + data[512:])


def seal_all(checkpoint):
    """Corrects the checksums of a checkpoint after h5py has changed tensors."""
    records, frames = [], []
    for path in sorted(Path(checkpoint).glob("shard-*.h5")):
        number, stored = int(path.stem.removeprefix("shard-")), []
        with h5py.File(path, "r+") as file:

            def take(_, piece):
                if not isinstance(piece, h5py.Dataset):
                    return
                rows = piece.attrs["block_rows"]
                sums = [xxh3(piece[i : i + rows].tobytes()) for i in range(0, len(piece), rows)]
                piece.attrs.modify("sums", np.array(sums, np.int64))
                for i in range(piece.id.get_num_chunks()):
                    chunk = piece.id.get_chunk_info(i)
                    stored.append((chunk.byte_offset, chunk.size))

            file.visititems(take)
        data, frame, at = path.read_bytes(), b"", 0
        for offset, size in [*sorted(stored), (len(data), 0)]:
            if offset > at:
                frames.append((number, at, offset - at))
                frame += data[at:offset]
            at = offset + size
        records.append((number, len(data), xxh3(frame)))
    with h5py.File(Path(checkpoint) / "checkpoint.h5", "r+") as file:
        for name, rows in (("storage/shards", records), ("storage/frames", frames)):
            del file[name]
            file[name] = np.array(rows, np.int64)
    seal(checkpoint)


def equal(a, b):
    """Whether two arrays have equal types, shapes and bits."""
    return (
        a is not None
        and b is not None
        and (a.dtype, a.shape) == (b.dtype, b.shape)
        and a.tobytes() == b.tobytes()
    )


def finish(folder, failed):
    """The exit code of a script of cases. Files of failed cases are kept."""
    print(f"{failed} failed")
    if failed:
        return 1
    os.chdir(SOURCE)
    shutil.rmtree(folder)
    return 0
