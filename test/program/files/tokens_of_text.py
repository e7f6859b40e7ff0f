# SPDX-License-Identifier: Apache-2.0
"""`trireme tokenize` from the command line: text to ids and back, pieces, counts, refusals."""
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

TOKENIZER = program.SOURCE / "inputs" / "gcide-tokenizer.json"
TEXT = "It's a naïve test,\n\n with 12345 words — and 中文.".encode()


class Tokenize(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("tokenize")

    def start(self, *arguments, text=b""):
        return subprocess.run([program.PROGRAM, "tokenize", *map(str, arguments)], input=text,
                              env=program.environment(), capture_output=True, check=False)

    def tokenize(self, *arguments, text=TEXT):
        done = self.start(*arguments, text=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_ids_and_back(self):
        for name in (TOKENIZER, "bytes"):
            ids = self.tokenize("--tokenizer", name)
            self.assertEqual(self.tokenize("--tokenizer", name, "--decode", text=ids), TEXT)
        self.assertEqual(self.tokenize("--tokenizer", "bytes", text=b"ab\xff"), b"97 98 255\n")
        self.assertEqual(self.tokenize("--decode", text=b"97, 98\n\t256 99"), b"abc")

    def test_pieces(self):
        ids = self.tokenize("--tokenizer", TOKENIZER, text=b"some words").split()
        lines = self.tokenize("--tokenizer", TOKENIZER, "--pieces",
                              text=b"some words").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ids)
        self.assertEqual(b"".join(line.split(b'"')[1] for line in lines), b"some words")

    def test_count(self):
        ids = len(self.tokenize("--tokenizer", TOKENIZER).split())
        said = self.tokenize("--tokenizer", TOKENIZER, "--count").decode()
        self.assertEqual(said, f"{len(TEXT)} bytes, {ids} tokens, "
                               f"{len(TEXT) / ids:.3f} bytes a token\n")
        self.assertIn(b"0 bytes, 0 tokens", self.tokenize("--count", text=b""))

    def test_texts_that_end_with_nul(self):
        texts = b"ab\0\0c\0"
        lines = self.tokenize("--null", text=texts)
        self.assertEqual(lines, b"97 98\n\n99\n")
        self.assertEqual(self.tokenize("--null", "--decode", text=lines), texts)
        self.assertEqual(self.tokenize("--null", "--count", text=texts), b"2 2\n0 0\n1 1\n")

    def test_refusals(self):
        bad = self.folder / "bad.json"
        bad.write_text('{"model": ')
        other = self.folder / "other.txt"
        other.write_text("no tokenizer")
        for words, text, message in (
                (("--tokenizer", bad), b"", "bad.json"),
                (("--tokenizer", other), b"", "this file is no tokenizer"),
                (("--tokenizer", "nowhere"), b"", '"nowhere" is neither a file or folder'),
                (("--decode",), b"97 x", '"x" is no token id'),
                (("--decode",), b"257", "token id 257 is not in a vocabulary of 257"),
                (("--decode", "--pieces"), b"", "--pieces")):
            done = self.start(*words, text=text)
            self.assertNotEqual(done.returncode, 0, words)
            self.assertEqual(done.stdout, b"")
            self.assertIn(message, done.stderr.decode())


if __name__ == "__main__":
    unittest.main()
