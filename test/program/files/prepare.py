# SPDX-License-Identifier: Apache-2.0
"""`trireme prepare` from the command line: equal files from any number of ranks, and their
contents."""
import gzip
import json
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

END = 256  # end of document; smaller ids are bytes
MANY = 17_000_000  # characters: more blocks of 4 MiB than four ranks take in one round


class Prepare(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("prepare")
        cls.addClassCleanup(shutil.rmtree, cls.folder)  # hundreds of megabytes
        text = program.make_text(200_000).rstrip()
        copies = MANY // len(text) + 1
        cls.documents = [
            f"{copy} {document}" for copy in range(copies) for document in text.split("\n\n")
        ]
        cls.text = cls.folder / "text.txt"
        cls.text.write_text("\n\n".join(cls.documents), encoding="utf-8")
        cls.lines = cls.folder / "lines.jsonl"
        with open(cls.lines, "w", encoding="utf-8") as file:
            for i, document in enumerate(cls.documents):
                ascii_only = i % 2 == 0  # \u escapes or plain UTF-8
                line = {"id": i, "text": document, "body": document[::-1]}
                file.write(json.dumps(line, ensure_ascii=ascii_only) + "\n")

    def prepare(self, name, ranks, *arguments):
        output = self.folder / f"{name}_{ranks}.h5"
        program.run_well(ranks, "prepare", "--output", output, *arguments)
        return output

    def check(self, name, documents, *arguments):
        """One and four ranks write equal bytes, and these documents."""
        one, four = (self.prepare(name, ranks, *arguments) for ranks in (1, 4))
        self.assertEqual(one.read_bytes(), four.read_bytes())
        expected = [np.frombuffer(d.encode(), np.uint8) for d in documents]
        offsets = np.cumsum([0] + [len(d) + 1 for d in expected])
        with h5py.File(one, "r") as file:
            np.testing.assert_array_equal(file["documents"][()], offsets)
            tokens = file["tokens"][()]
        self.assertEqual(tokens.size, offsets[-1])
        np.testing.assert_array_equal(tokens[offsets[1:] - 1], END)
        tokens = np.delete(tokens, offsets[1:] - 1)
        np.testing.assert_array_equal(tokens, np.concatenate(expected))

    def test_plain_text(self):
        self.check("text", self.documents, "--input", self.text,
                   "--document-separator", r"\n\n")

    def test_json_lines(self):
        self.check("lines", self.documents, "--input", self.lines)

    def test_key_of_json_lines(self):
        bodies = [d[::-1] for d in self.documents]
        self.check("bodies", bodies, "--input", self.lines, "--jsonl-key", "body")

    def test_packed_lines_of_a_folder(self):
        folder = self.folder / "packed"
        folder.mkdir()
        lines = self.lines.read_bytes().splitlines(keepends=True)
        for part in range(5):
            packed = gzip.compress(b"".join(lines[part::5]), compresslevel=1)
            (folder / f"{part}.data").write_bytes(packed)
        documents = [d for part in range(5) for d in self.documents[part::5]]
        self.check("packed", documents, "--input", folder)

    def test_standard_input(self):
        output = self.folder / "stdin.h5"
        with open(self.lines, "rb") as lines:
            done = subprocess.run(
                [program.PROGRAM, "prepare", "--input", "-", "--output", output], stdin=lines,
                env=program.environment(), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(output.read_bytes(), self.prepare("file", 1, "--input",
                                                           self.lines).read_bytes())

    def test_a_report_in_json(self):
        lines = self.folder / "bad.jsonl"
        lines.write_text('{"text": "ab"}\nbad\n\n{"text": "ab"}\n')
        report = self.folder / "report.json"
        self.prepare("bad", 1, "--input", lines, "--on-error", "skip", "--dedup", "exact",
                     "--json", report)
        said = json.loads(report.read_text())
        self.assertEqual((said["documents"], said["tokens"], said["blank_lines"]), (1, 3, 1))
        self.assertEqual(said["left_out"]["duplicates"], 1)
        self.assertEqual(said["left_out"]["not valid JSON"], 1)
        self.assertIn("bad.jsonl, line 2", said["places"][0])

    def test_several_files(self):
        both = self.documents + self.documents
        self.check("both", both, "--input", self.text, self.lines,
                   "--document-separator", r"\n\n")


if __name__ == "__main__":
    unittest.main()
