#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""metrics.h5 beside its series: what it records about the run, its forecast, its ranks and
timelines. TensorBoard's files of the run must agree.

  metrics.py [CLASS | CLASS.test_NAME]...

"""
import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
import event_files  # noqa: E402

PHASES = "data forward backward reduce pipeline_wait optimizer checkpoint".split()
FORWARD, BACKWARD, CHECKPOINT = (PHASES.index(p) for p in ("forward", "backward", "checkpoint"))
RANKS, TP, PP, CHUNKS, MICRO_BATCHES = 4, 2, 2, 2, 4
DECK = {
    "num_layers": 4,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "seq_length": 32,
    "pos_emb": "rotary",
    "model_parallel_size": TP,
    "pipe_parallel_size": PP,
    "virtual_pipeline_chunks": CHUNKS,
    "train_micro_batch_size_per_gpu": 2,
    "gradient_accumulation_steps": MICRO_BATCHES,
    "train_iters": 6,
    "lr": 1e-3,
    "lr_decay_iters": 20,
    "log_interval": 2,
    "eval_interval": 3,
    "eval_iters": 1,
    "checkpoint_factor": 3,
    "split": "8,1,1",
}
TRACED = [2, 3, 5]
STOPPED = 75
FLOOR = 1e-6  # seconds: shorter spans are merged
ROUNDING = 1e-9


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"metrics_{cls.__name__}")
        cls.tokens = program.make_tokens(cls.folder)

    def train(self, name, ranks=RANKS, code=0, **keys):
        """Resumes a run from its folder; returns the folder and the output."""
        save = self.folder / name
        deck = {**DECK, "data_path": str(self.tokens), "save": str(save), "load": str(save),
                **keys}
        self.path = program.write_deck(self.folder / f"{name}.yml", deck)
        done = program.run(ranks, "train", self.path, timeout=300)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return save, done.stdout + done.stderr


class Files(Runs):
    """Runs on tp 2 × pp 2 with two chunks a stage and four micro-batches."""

    def attributes(self, run, name="/"):
        with h5py.File(run / "metrics.h5", "r") as file:
            return dict(file[name].attrs)

    def assert_attributes(self, run):
        said = self.attributes(run)
        expected = {"dp": 1, "tp": TP, "pp": PP, "ranks": RANKS, "train_batch_size": 8,
                    "seq_length": 32}
        self.assertEqual({k: int(said[k]) for k in expected}, expected)
        self.assertTrue(all(said[k].dtype == np.int64 for k in expected))
        columns = program.read_metrics(run)
        flops = columns["train/tflops_per_rank"] * RANKS * 1e12
        np.testing.assert_allclose(flops / columns["train/tokens_per_second"],
                                   said["flops_per_token"])

    def assert_plan(self, run, columns):
        """The output of `trireme plan`."""
        path = run.parent / "plan.json"
        program.run_well(1, "plan", self.path, "--ranks", RANKS, "--json", path)
        stages = json.loads(path.read_text())["stages"]
        for name in ("parameters", "values", "gradients", "optimizer", "activations", "unused",
                     "copy", "in_flight"):
            key = {"parameters": name, "in_flight": name,
                   "unused": "device_reserved_bytes"}.get(name, f"{name}_bytes")
            expected = [s[key] for s in stages]
            if name == "unused":
                expected = [s[key] - s["device_peak_bytes"] for s in stages]
            self.assertEqual(columns[f"plan/{name}"].tolist(), expected, name)

    def assert_ranks(self, columns, steps):
        """`steps`: slice of /train's rows that this start wrote."""
        ranks = {n.removeprefix("ranks/"): c for n, c in columns.items() if "ranks/" in n}
        self.assertEqual(ranks["dp"].tolist(), [0, 0, 0, 0])
        self.assertEqual(ranks["tp"].tolist(), [0, 1, 0, 1])
        self.assertEqual(ranks["pp"].tolist(), [0, 0, 1, 1])
        self.assertTrue(all(host for host in ranks["host"]))
        plan = sum(columns[f"plan/{n}"] for n in ("values", "gradients", "optimizer",
                                                  "activations", "unused"))
        self.assertTrue((ranks["arrays_peak_bytes"] > 0).all())
        self.assertTrue((ranks["arrays_peak_bytes"] <= ranks["arrays_reserved_bytes"]).all())
        self.assertTrue((ranks["arrays_peak_bytes"] <= plan[ranks["pp"]]).all())
        of_process = ranks["peak_bytes"] > ranks["arrays_reserved_bytes"]
        of_arrays = ranks["peak_bytes"] == ranks["arrays_peak_bytes"]
        on_gpu = np.char.startswith(ranks["device"].astype(bytes), b"cuda")
        self.assertTrue(np.where(on_gpu, of_arrays, of_process).all())
        self.assertEqual(ranks["phases"].shape, (RANKS, len(PHASES)))
        for phase, seconds in zip(PHASES, ranks["phases"].mean(axis=0)):
            np.testing.assert_allclose(seconds, columns[f"train/{phase}"][steps].mean(),
                                       rtol=1e-9, err_msg=phase)
        np.testing.assert_allclose(ranks["step_seconds"][0],
                                   columns["train/step_seconds"][steps].mean())
        self.assertTrue((ranks["phases"].sum(axis=1) <= ranks["step_seconds"] * 1.001).all())

    def assert_timeline(self, columns, iterations):
        rows = {n.removeprefix("timeline/"): c for n, c in columns.items() if "timeline/" in n}
        self.assertEqual(len({len(c) for c in rows.values()}), 1)
        self.assertEqual(sorted(set(rows["iteration"])), iterations)
        self.assertTrue((np.diff(rows["iteration"]) >= 0).all())
        for iteration in iterations:
            for rank in range(RANKS):
                here = (rows["iteration"] == iteration) & (rows["rank"] == rank)
                self.assert_spans({n: c[here] for n, c in rows.items()})
            # Rank 0's step is the one in /train. Evaluation is not part of a step, but takes
            # time.
            if iteration % DECK["eval_interval"] != 0:
                here = (rows["iteration"] == iteration) & (rows["rank"] == 0)
                # All spans count from the first rank that left the barrier; a step counts from
                # its own rank's.
                took = (rows["start"] + rows["seconds"])[here].max() - rows["start"][here].min()
                step = columns["train/step_seconds"][iteration - 1]
                self.assertLessEqual(took, step + ROUNDING)
        return rows

    def assert_spans(self, spans):
        """Checks the spans of one rank and iteration."""
        start, end = spans["start"], spans["start"] + spans["seconds"]
        self.assertGreaterEqual(start[0], 0)
        self.assertTrue((start[1:] >= end[:-1] - ROUNDING).all(), "spans overlap")
        self.assertTrue((spans["seconds"] >= FLOOR).all())
        self.assertTrue(((spans["phase"] >= -1) & (spans["phase"] < len(PHASES))).all())
        every = {(m, c) for m in range(MICRO_BATCHES) for c in range(CHUNKS)}
        for phase in (FORWARD, BACKWARD):
            done = spans["phase"] == phase
            pairs = set(zip(spans["micro_batch"][done], spans["chunk"][done]))
            self.assertEqual(pairs, every, PHASES[phase])
        tags = np.stack([spans[n] for n in ("phase", "micro_batch", "chunk")])
        touching = start[1:] - end[:-1] < ROUNDING
        self.assertFalse((touching & (tags[:, 1:] == tags[:, :-1]).all(axis=0)).any(),
                         "neighbours of equal tags")

    def check_a_whole_run(self, **keys):
        run, said = self.train("whole", timeline_iters=TRACED, load=None, **keys)
        columns = program.read_metrics(run)
        self.assert_attributes(run)
        self.assert_plan(run, columns)
        self.assert_ranks(columns, slice(0, 6))
        self.assertEqual(int(self.attributes(run, "ranks")["steps"]), 6)
        rows = self.assert_timeline(columns, TRACED)
        self.assertEqual(self.attributes(run, "timeline")["phases"], ",".join(PHASES))
        self.assertEqual(set(rows["iteration"][rows["phase"] == CHECKPOINT]), {3})
        for iteration in TRACED:
            count = (rows["iteration"] == iteration).sum()
            self.assertIn(f"timeline iteration {iteration}: {count} spans of 4 ranks", said)


class FourRanks(Files):
    def test_a_whole_run(self):
        self.check_a_whole_run()

    def test_a_stop_and_what_goes_on_from_it(self):
        run, _ = self.train("stop", code=STOPPED, timeline_iters=TRACED, load=None,
                            exit_interval=4)
        columns = program.read_metrics(run)
        self.assert_attributes(run)
        self.assert_ranks(columns, slice(0, 4))
        self.assertEqual(int(self.attributes(run, "ranks")["steps"]), 4)
        self.assert_timeline(columns, [2, 3])
        # With one step, the means equal this step's values, on each rank.
        run, _ = self.train("stop", timeline_iters=TRACED, train_iters=5)
        columns = program.read_metrics(run)
        self.assert_ranks(columns, slice(4, 5))
        self.assertEqual(int(self.attributes(run, "ranks")["steps"]), 1)
        rows = self.assert_timeline(columns, TRACED)
        for rank in range(RANKS):
            here = (rows["iteration"] == 5) & (rows["rank"] == rank)
            took = (rows["start"] + rows["seconds"])[here].max() - rows["start"][here].min()
            self.assertLessEqual(took, columns["ranks/step_seconds"][rank] + ROUNDING)
            for phase in range(len(PHASES) - 1):
                seconds = rows["seconds"][here & (rows["phase"] == phase)].sum()
                expected = columns["ranks/phases"][rank, phase]
                self.assertAlmostEqual(seconds, expected, delta=1e-3)
        # Back to iteration 3: later traces are gone.
        self.train("stop", load=str(run / "global_step3"), train_iters=6)
        columns = program.read_metrics(run)
        self.assert_timeline(columns, [2, 3])
        self.assertEqual(columns["train/iteration"].tolist(), [1, 2, 3, 4, 5, 6])
        self.assert_ranks(columns, slice(3, 6))

    def test_ranks_are_there_from_the_first_save_on(self):
        save = self.folder / "endless"
        deck = {**DECK, "data_path": str(self.tokens), "save": str(save), "eval_iters": 0,
                "train_iters": 1_000_000, "keep_last_n_checkpoints": 2}
        path = program.write_deck(self.folder / "endless.yml", deck)
        process = program.start(RANKS, "train", path)
        self.addCleanup(program.stop, process)
        steps, end = None, time.monotonic() + 120
        while steps is None and time.monotonic() < end and process.poll() is None:
            time.sleep(0.05)
            with contextlib.suppress(OSError, KeyError):
                steps = int(self.attributes(save, "ranks")["steps"])
        self.assertIsNotNone(steps, "no ranks in the metrics of a run that saves")
        self.assertEqual(steps % DECK["checkpoint_factor"], 0)
        (save / "stop").touch()
        _, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, STOPPED, errors)

    def test_an_untraced_run_has_no_timeline(self):
        run, said = self.train("untraced", load=None, train_iters=1)
        with h5py.File(run / "metrics.h5", "r") as file:
            self.assertNotIn("timeline", file)
        self.assertNotIn("timeline", said)

    def test_a_timeline_needs_a_place(self):
        _, said = self.train("placeless", code=1, timeline_iters=[2], load=None, save=None)
        self.assertIn("timeline_iters needs save", said)


@unittest.skipUnless(program.PROGRAM.name == "trireme_emulated" or shutil.which("nvidia-smi"),
                     "no GPU")
class Gpu(Files):
    """A step's times come from a stream's events, read later."""

    def test_a_whole_run(self):
        self.check_a_whole_run(device="cuda")


class TensorBoard(Runs):
    ONE = {"model_parallel_size": 1, "pipe_parallel_size": 1, "virtual_pipeline_chunks": 1}

    def train_in(self, name, **keys):
        self.events = self.folder / f"{name}_events"
        keys = {"tensorboard_dir": str(self.events), **self.ONE, **keys}
        return self.train(name, 1, **keys)

    def assert_same(self, run):
        """The run's event files agree with its metrics."""
        columns, tags = program.read_metrics(run), event_files.read_folder(self.events)
        names = {"train/loss": "train/loss", "train/learning_rate": "train/learning_rate",
                 "train/grad_norm": "train/grad_norm", "train/loss_scale": "train/loss_scale",
                 "runtime/iteration_seconds": "train/step_seconds",
                 "runtime/tokens_per_second": "train/tokens_per_second",
                 "runtime/tflops_per_rank": "train/tflops_per_rank",
                 "valid/loss": "valid/loss", "valid/perplexity": "valid/perplexity",
                 "test/loss": "test/loss", "test/perplexity": "test/perplexity",
                 "valid/bits_per_byte": "valid/bits_per_byte",
                 "test/bits_per_byte": "test/bits_per_byte"}
        for group in ("valid", "test"):  # a byte a token, but none for an end of document
            bits = columns[f"{group}/loss"] / np.log(2)
            self.assertTrue((columns[f"{group}/bits_per_byte"] >= bits * (1 - 1e-9)).all())
            self.assertTrue((columns[f"{group}/bits_per_byte"] < bits * 1.5).all())
        for tag, name in names.items():
            iterations = columns[name.split("/")[0] + "/iteration"].tolist()
            self.assertEqual(list(tags[tag]), iterations, tag)
            values = np.array([value for value, _ in tags[tag].values()], np.float32)
            np.testing.assert_array_equal(values, columns[name].astype(np.float32), tag)
        return tags

    def test_the_reader_knows_its_sum(self):
        self.assertEqual(event_files.crc32c(b"123456789"), 0xE3069283)
        self.assertEqual(event_files.crc32c(bytes(32)), 0x8A9136AA)

    def test_a_run_in_two_parts(self):
        begin = time.time()
        run, _ = self.train_in("parts", code=STOPPED, load=None, exit_interval=4)
        files = list(self.events.iterdir())
        self.assertEqual(len(files), 1)
        self.assertRegex(files[0].name, r"^events\.out\.tfevents\.\d{10}\.\d{6}\.")
        first = event_files.read(files[0])
        self.assertEqual(first[0]["version"], "brain.Event:2")
        self.assertTrue(first[1]["start"])
        self.assertEqual(first[1]["step"], 0)
        run, _ = self.train_in("parts")
        tags = self.assert_same(run)
        last = event_files.read(sorted(self.events.iterdir())[1])
        self.assertTrue(last[1]["start"])
        self.assertEqual(last[1]["step"], 5)
        with h5py.File(run / "metrics.h5", "r") as file:
            deck = file.attrs["deck"]
        self.assertEqual(re.sub("^    ", "", tags["deck"][4][0], flags=re.M), deck)
        times = [wall for _, wall in tags["train/loss"].values()]
        self.assertEqual(times, sorted(times))
        self.assertTrue(begin < times[0] and times[-1] < time.time())
        steps = np.array([seconds for seconds, _ in tags["runtime/iteration_seconds"].values()])
        for apart, seconds in zip(np.diff(times[:4]), steps[1:4]):  # within one start
            self.assertGreater(apart, 0.9 * seconds)
        self.assertGreater(tags["memory/peak_mib_per_rank"][6][0], 1)

    def test_back_to_an_earlier_iteration_and_anew(self):
        run, _ = self.train_in("back", load=None)
        self.train_in("back", load=str(run / "global_step3"), train_iters=5, lr=5e-4,
                      override_lr_scheduler=True)
        tags = self.assert_same(run)
        self.assertEqual(len(tags["train/loss"]), 5)
        self.assertEqual(len(list(self.events.iterdir())), 2)

    def test_deepspeeds_words(self):
        words = {"enabled": True, "output_path": str(self.folder), "job_name": "words_events"}
        run, _ = self.train_in("words", load=None, tensorboard_dir=None, tensorboard=words)
        self.assert_same(run)

    def test_a_run_that_begins_anew_starts_from_nothing(self):
        self.train_in("anew", load=None, save=None, train_iters=4)
        _, said = self.train("anew", 1, code=1, load=None, save=None, train_iters=2,
                             tensorboard_dir=str(self.events), **self.ONE)
        self.assertIn(f"tensorboard_dir: {self.events} holds files of another run", said)
        self.train_in("anew", load=None, save=None, train_iters=2, overwrite=True)
        self.assertEqual(len(list(self.events.glob("before-*/events.*"))), 1)
        tags = event_files.read_folder(self.events)
        self.assertEqual(list(tags["train/loss"]), [1, 2])

    def test_a_folder_that_cannot_be(self):
        path = self.folder / "a_file"
        path.write_text("")
        _, said = self.train("cannot", 1, code=1, load=None, tensorboard_dir=str(path / "b"),
                             **self.ONE)
        self.assertRegex(
            said, rf"cannot write to the folder {path}/b \(key tensorboard_dir\): ")

    def test_a_full_disk_is_told_once(self):
        disk = self.folder / "small_disk"
        disk.mkdir()
        try:
            mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "trireme-test", str(disk)]
            subprocess.run(mount, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as e:
            self.skipTest(f"no small file system can be mounted: {e}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)], check=True)
        run, said = self.train("full", 1, load=None, tensorboard_dir=str(disk),
                               train_iters=80, eval_iters=0, checkpoint_factor=None,
                               **self.ONE)
        self.assertEqual(said.count("events for TensorBoard"), 1, said)
        self.assertRegex(said, rf"warning: {disk}/events\S+: cannot write: No space left")
        self.assertEqual(len(program.read_metrics(run)["train/loss"]), 80)


if __name__ == "__main__":
    unittest.main()
