# SPDX-License-Identifier: Apache-2.0
"""`trireme generate`: prompts in, answers out, whatever names the model and on every mesh."""
import json
import os
import pty
import subprocess
import sys
import unittest
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "seq_length": 64,
    "max_position_embeddings": 64, "pos_emb": "rotary", "train_batch_size": 8,
    "train_iters": 30, "optimizer": {"type": "Adam", "params": {"lr": 1e-2}},
    "eval_interval": 1000, "eval_iters": 1}
SAMPLING = ("--temperature", "0.9", "--top-k", "40", "--top-p", "0.95", "--num-samples", "2",
            "--max-tokens", "12")


class Generate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("generate")
        tokens = program.make_tokens(cls.folder)
        cls.run_folder = cls.folder / "run"
        cls.deck = program.write_deck(
            cls.folder / "deck.yml",
            {**DECK, "data_path": str(tokens), "save": str(cls.run_folder)})
        program.run_well(1, "train", cls.deck)

    def start(self, ranks, *arguments, text=""):
        words = [program.PROGRAM] if ranks == 1 else program.command(ranks)
        return subprocess.run(
            [*words, "generate", *map(str, arguments)], input=text, text=True,
            env=program.environment(), capture_output=True, check=False, timeout=120)

    def answers(self, ranks, *arguments, text=""):
        done = self.start(ranks, *arguments, text=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def texts(self, *arguments, **options):
        return [a["text"] for a in self.answers(*arguments, **options)]

    def test_names_of_a_model(self):
        words = ("--prompt", "ka", "--max-tokens", "20")
        answers = self.answers(1, self.run_folder, *words)
        self.assertEqual(list(answers[0]), ["context", "text", "length", "finished", "message",
                                            "duration_seconds"])
        self.assertEqual(answers[0]["context"], "ka")
        self.assertEqual(answers[0]["length"], 20)
        self.assertIs(answers[0]["finished"], False)
        self.assertIsNone(answers[0]["message"])
        self.assertGreater(answers[0]["duration_seconds"], 0)
        for name in (self.deck, self.run_folder / "global_step30"):
            self.assertEqual(self.texts(1, name, *words), [answers[0]["text"]])
        self.assertEqual(self.texts(1, self.run_folder, *words, "--recompute"),
                         [answers[0]["text"]])

    def test_meshes(self):
        prompts = ("--prompt", "ka", "--prompt", "lo mi", "--prompt", "tre")
        one = self.answers(1, self.run_folder, *prompts, *SAMPLING, "--logprobs")
        self.assertEqual([a["context"] for a in one],
                         ["ka", "ka", "lo mi", "lo mi", "tre", "tre"])
        self.assertEqual(len({a["text"] for a in one}), 6)
        for a in one:
            self.assertEqual(len(a["tokens"]), a["length"])
            self.assertEqual(len(a["token_logprobs"]), a["length"])
            self.assertLess(max(a["token_logprobs"]), 0)
        for setting in ("seed=1234", "model_parallel_size=2", "pipe_parallel_size=2"):
            several = self.answers(2, self.run_folder, *prompts, *SAMPLING, "--set", setting)
            self.assertEqual([a["text"] for a in several], [a["text"] for a in one], setting)
        other = self.texts(1, self.run_folder, *prompts, *SAMPLING, "--seed", "5")
        self.assertNotEqual(other, [a["text"] for a in one])

    def test_interleaved_chunks(self):
        """A model that stages held in chunks answers on any mesh, also by its own deck. While
        such a model trains, nobody can ask."""
        chunks = {"pipe_parallel_size": 2, "virtual_pipeline_chunks": 2, "num_layers": 4,
                  "gradient_accumulation_steps": 2, "data_path": str(self.folder / "tokens.h5")}
        run = self.folder / "chunks"
        deck = program.write_deck(self.folder / "chunks.yml",
                                  {**DECK, **chunks, "save": str(run)})
        program.run_well(2, "train", deck)
        words = ("--prompt", "ka", "--max-tokens", "12")
        one = self.texts(1, run, *words, "--set", "pipe_parallel_size=1", "--set",
                         "virtual_pipeline_chunks=1")
        self.assertEqual(len(one[0]), 12)
        for name in (run, deck):
            self.assertEqual(self.texts(2, name, *words), one)
        asked = program.write_deck(self.folder / "asked.yml", {
            **DECK, **chunks, "sample_interval": 15, "sample_prompts": ["ka"]})
        done = program.run(2, "train", asked)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("virtual_pipeline_chunks", done.stdout + done.stderr)

    def test_samples_in_training(self):
        """What the log shows is what `generate` says of the saved weights, on every mesh."""
        expected = self.texts(1, self.run_folder, "--prompt", "ka", "--max-tokens", "12")[0]
        deck = program.write_deck(self.folder / "samples.yml", {
            **DECK, "data_path": str(self.folder / "tokens.h5"), "sample_interval": 15,
            "sample_prompts": ["ka"], "maximum_tokens": 12})
        for ranks, setting in ((1, "seed=1234"), (2, "model_parallel_size=2"),
                               (2, "pipe_parallel_size=2"), (2, "zero_optimization.stage=2")):
            out = program.run_well(ranks, "train", deck, "--set", setting)
            said = [line.split(": ", 1) for line in out.splitlines()
                    if line.startswith("sample ")]
            self.assertEqual([s[0].split()[-1] for s in said], ["15", "30"], out)
            self.assertEqual(said[-1][1], "ka" + expected, setting)
        run = self.folder / "samples"
        program.run_well(1, "train", deck, "--set", f"run_dir={run}", "--set",
                         f"tensorboard_dir={run / 'events'}")
        with h5py.File(run / "metrics.h5") as file:
            self.assertEqual(sorted(file["samples"]), ["15", "30"])
            self.assertEqual(file["samples/30/prompt"][0].decode(), "ka")
            self.assertEqual(file["samples/30/answer"][0].decode(), expected)
        written = b"".join(f.read_bytes() for f in (run / "events").iterdir())
        self.assertIn(("ka" + expected).encode(), written)

    def test_prompts(self):
        words = ("--max-tokens", "8")
        expected = self.texts(1, self.run_folder, *words, "--prompt", "ka", "--prompt", "lo mi")
        lines = self.folder / "prompts.jsonl"
        lines.write_text('{"prompt": "ka"}\n\n{"text": "lo mi", "more": 1}\n')
        plain = self.folder / "prompts.txt"
        plain.write_text("ka\n\nlo mi\n")
        for file in (lines, plain):
            self.assertEqual(self.texts(1, self.run_folder, "--prompt-file", file, *words),
                             expected)
        self.assertEqual(self.texts(1, self.run_folder, *words, "-", text="ka\nlo mi\n"),
                         expected)
        self.assertEqual(self.texts(1, self.run_folder, *words, text="ka\nlo mi\n"), expected)
        answers = self.folder / "answers.jsonl"
        deck = program.write_deck(self.folder / "neox.yml", {
            "text_gen_type": "input-file", "sample_input_file": str(plain),
            "sample_output_file": str(answers), "maximum_tokens": 8})
        done = self.start(1, self.deck, deck)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([json.loads(a)["text"] for a in answers.read_text().splitlines()],
                         expected)
        self.assertIn("2 answers of 16 tokens", done.stdout)
        free = self.answers(1, self.run_folder, *words, "--set", "text_gen_type=unconditional",
                            "--set", "num_samples=2", "--temperature", "1")
        self.assertEqual([a["context"] for a in free], ["", ""])

    def test_ends(self):
        whole = self.texts(1, self.run_folder, "--prompt", "ka", "--max-tokens", "30")[0]
        stop = whole[3:5]
        answer = self.answers(1, self.run_folder, "--prompt", "ka", "--max-tokens", "30",
                              "--stop", stop)[0]
        self.assertEqual(answer["text"], whole[:whole.index(stop)])
        self.assertIs(answer["finished"], True)
        full = self.answers(1, self.run_folder, "--prompt", "ka", "--max-tokens", "1000")[0]
        if not full["finished"]:
            self.assertEqual(full["message"], "the context of 64 tokens is full")
            self.assertEqual(full["length"], 62)

    def test_a_terminal(self):
        expected = self.texts(1, self.run_folder, "--prompt", "ka", "--max-tokens", "9")[0]
        ours, theirs = pty.openpty()
        with subprocess.Popen(
                [program.PROGRAM, "generate", self.run_folder, "--prompt", "ka", "--max-tokens",
                 "9"], env=program.environment(), stdin=subprocess.DEVNULL, stdout=theirs,
                stderr=subprocess.PIPE) as process:
            os.close(theirs)
            shown = b""
            while True:
                try:
                    part = os.read(ours, 4096)
                except OSError:  # the other side is closed
                    break
                if not part:
                    break
                shown += part
            self.assertEqual(process.wait(60), 0, process.stderr.read())
        os.close(ours)
        text = shown.decode().replace("\r\n", "\n")
        self.assertIn(f"ka{expected}\n", text)
        self.assertIn("cache", text)
        self.assertNotIn("duration_seconds", text)

    def test_refusals(self):
        bad = self.folder / "bad.jsonl"
        bad.write_text('{"prompt": "ka"}\n{"prompt": 7}\n')
        chat = self.folder / "chat.jsonl"
        chat.write_text('{"messages": [{"role": "user", "content": "ka"}]}\n')
        empty = program.write_deck(self.folder / "empty.yml",
                                   {**DECK, "vocab_size": 257,
                                    "save": str(self.folder / "nothing")})
        for words, message in (
                (("nowhere", "--prompt", "ka"), "there is no deck or folder nowhere"),
                ((self.folder, "--prompt", "ka"), "holds no checkpoint"),
                ((empty, "--prompt", "ka"), "there is no checkpoint in"),
                ((self.deck, "--set", "num_layers=3", "--prompt", "ka"), "num_layers"),
                ((self.run_folder, "--prompt", "ka" * 40), "prompt 0 has 80 tokens"),
                ((self.run_folder, "--prompt-file", bad), "bad.jsonl:2: `prompt` should be"),
                ((self.run_folder, "--prompt-file", chat), "add --chat"),
                ((self.run_folder, "--chat", "--prompt", "ka"), "name one of chatml"),
                ((self.run_folder, "--chat", "none", "--prompt", "ka"), "choose from chatml"),
                ((self.run_folder, "--prompt", "ka", "--output", "no/where"), "no/where"),
                ((self.run_folder, "--set", "vocab_file=no/where", "--set", "data_path=null",
                  "--prompt", "ka"), "vocab_file: no/where: "),
                ((self.run_folder, "--set", "text_gen_type=precompute"), "--logprobs"),
                ((), "generate needs a model")):
            done = self.start(1, *words)
            self.assertEqual(done.returncode, 1, words)
            self.assertEqual(done.stdout, "", words)
            self.assertIn(message, done.stderr)

    def test_chats(self):
        file = self.folder / "chat.jsonl"
        file.write_text('{"messages": [{"role": "system", "content": "ser"}, '
                        '{"role": "user", "content": "ka"}]}\n')
        prompt = ("<|im_start|>system\nser<|im_end|>\n<|im_start|>user\nka<|im_end|>\n"
                  "<|im_start|>assistant\n")
        words = ("--max-tokens", "8", "--set", "max_position_embeddings=128")
        expected = self.texts(1, self.run_folder, *words, "--prompt", prompt)
        self.assertEqual(self.texts(1, self.run_folder, *words, "--chat", "chatml",
                                    "--prompt-file", file), expected)
        self.assertEqual(self.texts(1, self.run_folder, *words, "--chat", "chatml", "--system",
                                    "ser", "--prompt", "ka"), expected)


if __name__ == "__main__":
    unittest.main()
