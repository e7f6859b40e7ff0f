# SPDX-License-Identifier: Apache-2.0
"""`trireme inspect` against what h5py reads, on intact and damaged checkpoints.

  inspect_checkpoint.py [Inspect.test_NAME]...

"""
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "seq_length": 32,
    "pos_emb": "rotary",
    "train_batch_size": 8,
    "train_iters": 4,
    "checkpoint_factor": 2,
    "lr": 1e-3,
    "eval_iters": 0,
}
TP2 = {"model_parallel_size": 2}
# No step changes a weight, and there is no optimizer state: results are equal on every mesh.
STILL = {"optimizer": {"type": "SGD", "params": {"momentum": 0}}, "lr": 0, "train_iters": 2}
PREFIX = "trireme: error: "
TYPES = {"float32": "fp32"}
# The order of a forward pass.
ORDER = ["embed_in", "embed_positions", "layers.0", "layers.1", "final_layer_norm",
         "embed_out"]
TABLE = re.compile(r"^(\S+) +(fp32) +(\[[\d, ]+\]) +([\d.]+) +(\d+)$", re.MULTILINE)
DIFFERENCE = re.compile(r"^(\S+) +(equal|[\d.e+-]+)(?:  (\[[\d, ]+\]))?$", re.MULTILINE)


def inspect(*arguments):
    """The command as most users start it: without a launcher."""
    command = [str(program.PROGRAM), "inspect", *map(str, arguments)]
    return subprocess.run(command, env=program.environment(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)


def shown(checkpoint):
    """All tensors as h5py reads them, except links to master weights: {name: array}."""
    arrays = {}
    with h5py.File(checkpoint / "checkpoint.h5", "r") as file:
        for group in ["model", *(f"optimizer/{name}" for name in file.get("optimizer", []))]:
            if isinstance(file.get(group, getlink=True), h5py.SoftLink):
                continue
            arrays.update({f"{group}/{name}": d[()] for name, d in file[group].items()})
    return arrays


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def place_of_tensor(shard):
    """The position of a tensor's byte in a shard."""
    with h5py.File(shard, "r") as file:
        group = file["model"]
        name = next(n for n in group if n.startswith("layers.1.mlp.dense_h_to_4h.weight"))
        return group[name].id.get_chunk_info(0).byte_offset + 100


class Inspect(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("inspect")
        cls.tokens = program.make_tokens(cls.folder)
        cls.trained = cls.train("run", 2, TP2)
        cls.last = cls.trained / "global_step4"

    @classmethod
    def train(cls, name, ranks, *decks):
        folder = cls.folder / name
        deck = {**DECK, "data_path": str(cls.tokens), "save": str(folder)}
        for more in decks:
            deck.update(more)
        program.run_well(ranks, "train", program.write_deck(cls.folder / f"{name}.yml", deck))
        return folder

    def copy(self, name):
        """A copy of the last checkpoint, to be damaged."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        return shutil.copytree(self.last, path)

    def good(self, *arguments, code=0):
        done = inspect(*arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def refused(self, words, *arguments):
        """Requires one error line that contains all `words`."""
        done = inspect(*arguments)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        lines = [x for x in done.stderr.splitlines() if not x.startswith("[hwloc/")]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith(PREFIX), lines[0])
        for word in words:
            self.assertIn(str(word), lines[0])
        self.assertNotIn("whole", done.stdout)
        print(lines[0].replace(str(self.folder), "…"))

    # --- what it shows -----------------------------------------------------------------------

    def test_figures(self):
        out = self.good(self.last)
        arrays = shown(self.last)
        with h5py.File(self.last / "checkpoint.h5", "r") as file:
            attributes = dict(file.attrs)
            pieces = {name: len(file[name].virtual_sources()) for name in arrays}
        lines = [re.sub(" +", " ", line) for line in out.splitlines()]
        files = [p.stat().st_size for p in self.last.glob("shard-*.h5")]
        self.assertEqual(len(files), 2)
        model = {n: a for n, a in arrays.items() if n.startswith("model/")}
        count = sum(a.size for a in model.values())
        size = sum(a.nbytes for a in arrays.values())
        for line in (f"checkpoint {self.last}", "iteration 4", "samples 32 consumed",
                     "optimizer 4 steps", "seed 1234", "loss scale 1",
                     f"layout {attributes['mesh']}", f"version {attributes['version']}"):
            self.assertIn(line, lines)
        self.assertIn(f"shards 2, {sum(files):,} bytes", out.replace("shards      ", "shards "))
        self.assertIn(f"model {count:,} parameters, {4 * count:,} bytes (", "\n".join(lines))
        self.assertIn(f"optimizer {size - 4 * count:,} bytes (", "\n".join(lines))
        self.assertEqual({r[0] for r in TABLE.findall(out)}, set(model))
        self.assertIn(f"and {len(arrays) - len(model)} tensors of the optimizer", out)
        self.assertTrue(lines[-1].startswith("optimizer "), lines[-1])  # the summary is last
        rows = TABLE.findall(self.good(self.last, "--optimizer"))
        self.assertEqual({r[0] for r in rows}, set(arrays))
        for name, kind, shape, mebibytes, stored in rows:
            self.assertEqual(kind, TYPES[str(arrays[name].dtype)])
            self.assertEqual(shape, str(list(arrays[name].shape)))
            self.assertAlmostEqual(float(mebibytes), arrays[name].nbytes / 2**20, delta=5.1e-4)
            self.assertEqual(int(stored), pieces[name])
        self.assertEqual({2, 1}, set(pieces.values()))
        self.assert_in_order([r[0] for r in rows])
        deck = attributes["deck"]
        self.assertNotIn("hidden_size", out)
        told = self.good(self.last, "--deck")
        self.assertIn(deck.strip(), told)
        self.assertTrue(told.endswith(out[out.index("\ncheckpoint") + 1 :]), told)

    def assert_in_order(self, names):
        def place(name):
            unit = next(i for i, u in enumerate(ORDER) if f"/{u}." in name)
            return not name.startswith("model/"), name.rsplit("/", 1)[0], unit

        self.assertEqual([place(n) for n in names], sorted(place(n) for n in names))

    def test_folder_of_a_run(self):
        own = self.good(self.last)
        self.assertEqual(self.good(self.trained),
                         f"{self.trained}: latest names global_step4\n{own}")
        self.assertIn("latest names global_step4", self.good(f"{self.trained}/", "--verify"))
        self.assertEqual(self.good(f"{self.last}/"), own)
        early = shutil.copytree(self.trained, self.folder / "early")
        (early / "latest").write_text("global_step2\n")
        self.assertIn("iteration   2\n", self.good(early))
        (early / "latest").unlink()
        done = inspect(early)
        self.assertIn("the best is global_step4", done.stdout)
        self.assertIn("warning: ", done.stderr)

    def test_under_a_launcher(self):
        for arguments, code in (([self.last], 0),
                                ([self.last, "--diff", self.trained / "global_step2"], 1)):
            done = program.run(2, "inspect", *arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(done.stdout, self.good(*arguments, code=code))

    # --- whether it is whole -----------------------------------------------------------------

    def test_whole(self):
        whole = r"all 2 shards are whole: [\d.]+ MB in [\d.]+ s, [\d.]+ GB/s"
        self.assertRegex(self.good(self.last, "--verify"), whole)
        # Another name in another folder; the run's folder is out of reach.
        moved = self.copy("moved")
        self.assertRegex(self.good(moved, "--verify"), whole)
        hidden = self.trained.rename(self.folder / "hidden")
        try:
            arrays = shown(moved)
        finally:
            hidden.rename(self.trained)
        for name, array in program.read_checkpoint(self.last).items():
            self.assertTrue(program.equal(arrays[name], array), name)

    def test_flipped_byte_of_a_tensor(self):
        broken = self.copy("tensor")
        shard = broken / "shard-00001.h5"
        flip(shard, place_of_tensor(shard))
        tensor = "model/layers.1.mlp.dense_h_to_4h.weight"
        self.good(broken)  # without --verify no tensor is read
        self.refused([shard, tensor], broken, "--verify")
        self.refused([shard, tensor], broken, "--diff", self.last)
        self.refused([shard, tensor], self.last, "--diff", broken)

    def test_flipped_byte_of_metadata(self):
        for name, at in (("shard-00000.h5", 60), ("checkpoint.h5", 700), ("checkpoint.h5", 5)):
            with self.subTest(name=name, at=at):
                broken = self.copy("metadata")
                flip(broken / name, at)
                self.refused([broken / name], broken, "--verify")

    def test_cut_short(self):
        for name in ("shard-00000.h5", "shard-00001.h5", "checkpoint.h5"):
            with self.subTest(name=name):
                broken = self.copy("short")
                content = (broken / name).read_bytes()
                (broken / name).write_bytes(content[:-1])
                self.refused([broken / name], broken, "--verify")
                self.refused([broken / name], broken)

    def test_missing_shard(self):
        broken = self.copy("missing")
        (broken / "shard-00001.h5").unlink()
        self.refused([broken / "shard-00001.h5"], broken)
        # read_checkpoint.py warns of this.
        self.assertTrue(np.isnan(shown(broken)["model/embed_in.weight"]).any())

    # --- in what two differ ------------------------------------------------------------------

    def check_differences(self, a, b, *arguments):
        """Compares with NumPy. Returns the names of tensors that differ."""
        x, y = shown(a), shown(b)
        out = self.good(a, "--diff", b, *arguments, code=1)
        rows = DIFFERENCE.findall(out)
        self.assertEqual({r[0] for r in rows}, set(x))
        self.assert_in_order([r[0] for r in rows])
        differing = []
        for name, largest, first in rows:
            places = np.argwhere(x[name].view("u4") != y[name].view("u4"))
            if len(places) == 0:
                self.assertEqual((largest, first), ("equal", ""), name)
                continue
            differing.append(name)
            expected = np.abs(x[name].astype("f8") - y[name]).max()
            np.testing.assert_allclose(float(largest), expected, 1e-5)
            self.assertEqual(first, str(places[0].tolist()), name)
        last = out.splitlines()[-1]
        self.assertEqual(last, f"{len(differing)} of {len(x)} tensors differ, the first is "
                               f"{differing[0]}")
        return differing, out

    def test_two_of_one_run(self):
        early = self.trained / "global_step2"
        differing, out = self.check_differences(early, self.last)
        self.assertEqual(len(differing), len(shown(early)))
        for line in ("iteration 2 | 4", "samples consumed 16 | 32", "optimizer steps 2 | 4"):
            self.assertIn(f"differs: {line}\n", out)
        self.assertNotIn("differs: seed", out)
        self.assertNotIn("differs: deck", out)

    def test_one_element(self):
        other = self.copy("element")
        with h5py.File(other / "shard-00001.h5", "r+") as file:
            name = next(n for n in file["model"] if "layers.1.attention.dense.weight" in n)
            rows = file["model"][name][3]
            rows[5] += 0.25
            file["model"][name][3] = rows
        program.seal_all(other)
        differing, out = self.check_differences(self.last, other, "--verify")
        self.assertEqual(differing, ["model/layers.1.attention.dense.weight"])
        self.assertEqual(out.count("are whole"), 2)
        self.assertNotIn("differs:", out)

    def test_of_several_parts(self):
        """A tensor larger than the pieces that are read."""
        long = {"pos_emb": "learned", "max_position_embeddings": 300_000, "train_iters": 1}
        one = self.train("long", 1, STILL, long) / "global_step1"
        other = shutil.copytree(one, self.folder / "long_other")
        with h5py.File(other / "shard-00000.h5", "r+") as file:
            table = file["model/embed_positions.weight@0,0"]
            self.assertGreater(table.size * 4, 32 << 20)
            for place, change in (((290_001, 7), 0.5), ((299_999, 31), -2)):
                table[place] += change
        program.seal_all(other)
        differing, _ = self.check_differences(one, other)
        self.assertEqual(differing, ["model/embed_positions.weight"])

    def test_no_difference(self):
        n = len(shown(self.last))
        out = self.good(self.last, "--diff", self.trained)
        self.assertEqual(out.splitlines()[-1], f"no difference in {n} tensors")
        gathered = self.train("gathered", 2, TP2, {"checkpoint": {"writers_per_node": 1}})
        self.assertEqual(len(list(gathered.glob("global_step4/shard-*.h5"))), 1)
        out = self.good(self.last, "--diff", gathered)
        self.assertEqual(out.splitlines()[-1], f"no difference in {n} tensors")

    def test_of_other_meshes(self):
        one, two = self.train("still1", 1, STILL), self.train("still2", 2, STILL, TP2)
        out = self.good(one, "--diff", two)
        self.assertRegex(out, r"differs: mesh dp 1 . tp 1 . pp 1 \| dp 1 . tp 2 . pp 1\n")
        self.assertIn("no difference in ", out)
        # Without optimizer state.
        arrays = shown(self.last)
        extra = [name for name in arrays if name.startswith("optimizer/")]
        out = self.good(self.last, "--diff", one, code=1)
        self.assertEqual(out.count(f"  only in {self.last}\n"), len(extra))
        out = self.good(one, "--diff", self.last, code=1)
        self.assertEqual(out.count(f"  only in {self.last}\n"), len(extra))
        self.assertIn(f"of {len(arrays)} tensors differ, the first is model/embed_in.weight",
                      out)

    def test_of_another_model(self):
        wide = self.train("wide", 1, {"hidden_size": 64})
        out = self.good(self.last, "--diff", wide, code=1)
        line = r"^model/embed_in.weight +fp32 \[257, 32\] \| fp32 \[257, 64\]$"
        self.assertRegex(out, re.compile(line, re.MULTILINE))
        n = len(shown(self.last))
        self.assertIn(f"{n} of {n} tensors differ, the first is model/embed_in.weight", out)
        self.assertIn("differs: deck", out)

    # --- token files -------------------------------------------------------------------------

    def test_token_files(self):
        with h5py.File(self.tokens, "r") as file:
            tokens, documents = len(file["tokens"]), len(file["documents"]) - 1
        out = self.good(self.tokens)
        self.assertRegex(out, rf"tokens +{tokens} of 2 bytes\n")
        self.assertRegex(out, rf"documents +{documents}\n")
        self.assertIn("format      version 2\n", out)
        self.assertIn(f"{self.tokens}: the file is whole", self.good(self.tokens, "--verify"))
        damaged = self.folder / "damaged.h5"
        data = bytearray(Path(self.tokens).read_bytes())
        data[program.token_offset(self.tokens) + 7] ^= 4
        damaged.write_bytes(data)
        self.good(damaged)
        self.refused([damaged, "/tokens: damaged", "checksum"], damaged, "--verify")
        data[(1 << 16) + 9] ^= 4
        damaged.write_bytes(data)
        self.refused([damaged, "damaged", "checksum"], damaged)
        old = program.write_old_tokens(self.tokens, self.folder / "old.h5")
        self.assertIn("version 1, without checksums", self.good(old))
        self.refused([old, "no checksums", "trireme prepare"], old, "--verify")

    # --- what it refuses ---------------------------------------------------------------------

    def test_what_is_no_checkpoint(self):
        nowhere, empty = self.folder / "nowhere", self.folder / "empty"
        empty.mkdir()
        self.refused([nowhere, "no such folder"], nowhere)
        self.refused([empty, "neither a checkpoint nor"], empty)
        self.refused([nowhere, "no such folder"], self.last, "--diff", nowhere)
        index = self.last / "checkpoint.h5"
        self.refused([index, "not a folder"], index)
        self.refused([self.tokens, "not a folder"], self.tokens, "--deck")
        self.refused([self.tokens, "not a folder"], self.last, "--diff", self.tokens)
        text = self.folder / "text.txt"
        text.write_text("no checkpoint")
        self.refused([text, "no token file"], text)
        incomplete = self.folder / "global_step7"
        incomplete.mkdir()
        self.refused([incomplete, "checkpoint.h5"], incomplete)
        (incomplete / "checkpoint.h5").write_bytes(self.tokens.read_bytes())
        self.refused([incomplete / "checkpoint.h5"], incomplete)
        for arguments in ([], [self.last, "--diff"], [self.last, "--all"],
                          [self.last, "--deck", "--diff", self.last]):
            self.refused(["trireme inspect --help"], *arguments)

    # --- without Trireme ---------------------------------------------------------------------

    def test_shown_whole(self):
        arrays, pieces = shown(self.last), program.read_checkpoint(self.last)
        self.assertEqual(arrays.keys(), pieces.keys())
        for name, array in arrays.items():
            self.assertTrue(program.equal(array, pieces[name]), name)
        with h5py.File(self.last / "checkpoint.h5", "r") as file:
            self.assertEqual(set(file["optimizer"]), {"exp_avg", "exp_avg_sq", "master"})
            self.assertEqual(set(file["optimizer/master"]), set(file["model"]))
            for name, master in file["optimizer/master"].items():
                self.assertTrue(program.equal(master[()], arrays[f"model/{name}"]), name)

    def test_example(self):
        example = program.SOURCE / "analysis" / "examples" / "read_checkpoint.py"
        out = subprocess.run([sys.executable, example, self.last / "checkpoint.h5"],
                             capture_output=True, text=True, timeout=60, check=True).stdout
        arrays = shown(self.last)
        moment = "optimizer/exp_avg/embed_in.weight"
        expected = {n.removeprefix("model/"): a for n, a in arrays.items() if "model/" in n}
        expected[f"/{moment}"] = arrays[moment]
        lines = [f"{n}: {a.shape}, norm {np.linalg.norm(a):.6g}" for n, a in expected.items()]
        self.assertEqual(out.splitlines(), ["iteration 4", *lines])

    @unittest.skipIf(shutil.which("h5dump") is None, "h5dump is not installed")
    def test_h5dump(self):
        command = ["h5dump", "-H", self.last / "checkpoint.h5"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(done.stderr, "")
        tensors = [name.rsplit("/", 1)[1] for name in shown(self.last)]
        for name in tensors:
            self.assertEqual(done.stdout.count(f'DATASET "{name}"'), tensors.count(name))


if __name__ == "__main__":
    unittest.main(verbosity=2)
