# SPDX-License-Identifier: Apache-2.0
"""The commands of all pages: each is run here, in a folder that looks like the source tree, or
is named below with what runs it elsewhere. Targets, files, links and keys of pages exist.

"""
import gzip
import os
import re
import shlex
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from classifier import make_images  # noqa: E402


# The front page first: later pages show runs that its commands leave behind.
READMES = ("README.md", *sorted(
    str(page.relative_to(program.SOURCE))
    for top in ("analysis", "inputs", "jobs", "src", "test")
    for page in (program.SOURCE / top).rglob("*.md")))
# So are the numbers of their checkpoints.
STEPS = {"global_step300": "global_step4", "global_step200": "global_step2"}
SHORT = "--set train_iters=4 --set log_interval=2 --set eval_interval=4 --set eval_iters=1"
SECONDS = 120  # for one command
CHARACTERS = 4_000_000  # the last thousandth, for the test split, is a batch

# Commands that are not run here: a pattern of the whole command, and what runs it.
ELSEWHERE = {
    r"make run": ".ci/run",
    r"make test": ".ci/run",
    r"make( CMAKE_ARGS=.*)?": "every build",
    r"make test-all": "by hand, see test/README.md",
    r"make (lint|format)": ".ci/run",
    r"make (deps|help|clean)": "by hand",
    r"make (gpu-)?bench(-\w+)?": "by hand; test/bench says what came of it",
    r"make install PREFIX=.*": "by hand; test/jobs/install runs what it does, cmake --install",
    r"module use .*": "by hand; test/jobs/install loads the files with stand-ins",
    r"build/trireme --manual \| man -l -": "by hand; test/jobs/install reads the page",
    r"sbatch .*": "test/jobs/slurm",
    r"test/gpu/lease.py .*": "test/gpu/test_lease.py, which has no GPU",
    r"printf .*rates.txt": "test/jobs/slurm",
    r"TRIREME_SUBMIT=.* jobs/slurm/chain.sh .*": "test/jobs/slurm",
    r".*(qsub|bsub|flux) .*": "test/jobs/stand_ins",
    r"TRIREME_HOSTS=.* jobs/local/run.sh .*": "test/jobs/hosts",
    r"build/trireme bench .* --update": "make bench-zero",
    r"(docker|reframe) .*": "by hand, see jobs/packaging.md",
    r"inputs/digits.py .*": "by hand: it needs scikit-learn's digits",
}


def code_blocks(text):
    """Blocks of indented lines, each a list of lines without the indent."""
    blocks, block, before = [], [], ""
    for line in text.split("\n"):
        if line.startswith("    ") and (block or before.strip() == ""):
            block.append(line[4:])
        elif block:
            blocks.append(block)
            block = []
        before = line
    return [*blocks, block] if block else blocks


WORDS = ("make", "mpirun", "srun", "sbatch", "build/", "analysis/", "inputs/", "jobs/",
         "cmake", "~/", "source", "TRIREME_", "printf", "flux", "spack", "eb ", "reframe",
         "apptainer", "docker", "module", "pip", "python3", "cd ", "git", "man ", "tail",
         "h5dump")


def commands(text):
    """The command lines in code blocks, with continuations joined and comments removed."""
    for block in code_blocks(text):
        joined = "\n".join(block).replace("\\\n", " ").split("\n")
        for line in joined:
            line = re.sub(r"\s{2,}", " ", re.sub(r"\s+# .*", "", line)).strip()
            if line.startswith(WORDS):
                yield line


def elsewhere(command):
    return next((who for pattern, who in ELSEWHERE.items() if re.fullmatch(pattern, command)),
                None)


class Readme(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("readme")
        for name in ("inputs", "analysis", "jobs", "test", "README.md"):
            (cls.folder / name).symlink_to(program.SOURCE / name)
        (cls.folder / "build").mkdir()
        (cls.folder / "build" / "trireme").symlink_to(program.PROGRAM)
        (cls.folder / "data").mkdir()
        (cls.folder / "runs").mkdir()
        for name, run in (("a", "gcide"), ("b", "book")):
            (cls.folder / "runs" / name).symlink_to(run)
        (cls.folder / "book.txt").write_text(program.make_text(CHARACTERS), encoding="utf-8")
        tokens = program.make_tokens(cls.folder, CHARACTERS, seed=2)
        tokens.rename(cls.folder / "data" / "gcide.h5")
        (cls.folder / "my.txt").symlink_to("book.txt")
        make_images(cls.folder / "data" / "digits.h5", 600, 10, 28)
        for name in ("corpus", "more"):
            (cls.folder / name).mkdir()
        (cls.folder / "corpus" / "one.txt").symlink_to("../book.txt")
        task = "lambada_test.jsonl"
        (cls.folder / "data" / task).symlink_to(program.SOURCE / "test/tasks/golden" / task)
        with gzip.open(cls.folder / "more" / "two.jsonl.gz", "wt", encoding="utf-8") as packed:
            packed.write('{"text": "A document of a packed file."}\n')
        for name, data in (("deck", "data/gcide.h5"), ("my", "my.h5")):
            program.write_deck(cls.folder / f"{name}.yml", {
                "num_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "seq_length": 32,
                "max_position_embeddings": 32, "train_micro_batch_size_per_gpu": 1,
                "optimizer": {"type": "Adam", "params": {"lr": 1e-3}}, "train_iters": 4,
                "data_path": data, "split": None})
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # this Python has h5py
        cls.variables = program.environment(HOME=str(cls.folder), PATH=path)

    def run_line(self, line):
        for number, short in STEPS.items():
            line = line.replace(number, short)
        training = re.search(r"\btrireme train\b", line) and "--help" not in line
        process = subprocess.Popen(
            ["bash", "-c", f"{line} {SHORT}" if training else line], cwd=self.folder,
            env=self.variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            said, _ = process.communicate(timeout=SECONDS)
        finally:
            program.stop(process)
        differs = 1 if "--diff" in line else 0  # the two runs read different texts
        self.assertEqual(process.returncode, differs, f"{line}\n{said}")

    def test_commands(self):
        # Files that `make run` leaves, which later commands read.
        run = "mpirun -np 2 build/trireme train inputs/gcide.yml"
        self.run_line(f"{run} --set checkpoint_factor=2")
        self.run_line("mpirun -np 3 build/trireme train inputs/mlp-pipeline.yml")
        seen, here = {"mpirun -np 3 build/trireme train inputs/mlp-pipeline.yml"}, 0
        for readme in READMES:
            for line in commands((program.SOURCE / readme).read_text(encoding="utf-8")):
                if line in seen:
                    continue
                seen.add(line)
                who = elsewhere(line)
                print(f"{readme}: {line}" + (f"  [{who}]" if who else ""), flush=True)
                if who is None:
                    here += 1
                    with self.subTest(readme=readme, command=line):
                        self.run_line(line)
        self.assertGreater(here, 10)

    def test_targets_files_and_links(self):
        makefile = (program.SOURCE / "Makefile").read_text(encoding="utf-8")
        targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
        for readme in READMES:
            path = program.SOURCE / readme
            text = path.read_text(encoding="utf-8")
            for target in re.findall(r"`make ([a-z][a-z-]*)", text):
                self.assertIn(target, targets, f"{readme}: make {target}")
            for link in re.findall(r"\]\(([^)#:]+)\)", text):
                self.assertTrue((path.parent / link).exists(), f"{readme}: {link}")
            for name in re.findall(r"`((?:src|include|inputs|jobs|test|analysis)/[\w./-]+)`",
                                   text):
                if not re.search("NAME|FOLDER", name):
                    self.assertTrue((program.SOURCE / name).exists(), f"{readme}: {name}")

    def test_help(self):
        """What `make help` and `--help` list stands on a page."""
        pages = "\n".join((program.SOURCE / p).read_text(encoding="utf-8") for p in READMES)
        makefile = (program.SOURCE / "Makefile").read_text(encoding="utf-8")
        targets = set(re.findall(r"^([a-z-]+):.*  ## ", makefile, re.MULTILINE)) - {"build"}
        said = subprocess.run([program.PROGRAM, "--help"], text=True, check=True,
                              stdout=subprocess.PIPE).stdout
        below = re.split(r"^subcommands:$", said, flags=re.MULTILINE | re.IGNORECASE)[1]
        commands = set(re.findall(r"^  ([a-z]\S*)", below, re.MULTILINE))
        self.assertGreater(min(len(targets), len(commands)), 4)
        for word in sorted({f"make {t}" for t in targets} | {f"trireme {c}" for c in commands}):
            self.assertRegex(pages, rf"\b{word}\b(?!-)")

    def test_keys(self):
        """The reference of keys is what the program writes."""
        page = (program.SOURCE / "inputs/README.md").read_text(encoding="utf-8")
        listed = page.split("<!-- keys -->\n")[1].split("<!-- end of keys -->")[0]
        said = subprocess.run([program.PROGRAM, "keys", "--markdown"], text=True, check=True,
                              stdout=subprocess.PIPE).stdout
        self.assertEqual(listed.strip(), said.strip(), "see the end of inputs/README.md")


if __name__ == "__main__":
    unittest.main(verbosity=2)
