#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants faults in a copy of the sources, one at a time, and requires that tests of
`make test` find each: these pass without any fault, and at least one of them fails with it.

  planted_faults.py FOLDER [WORDS]    # works in FOLDER; only faults whose name has WORDS
"""
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]


@dataclass
class Fault:
    name: str
    file: str
    text: str  # stands there once
    planted: str
    tests: str  # a pattern of CTest
    targets: tuple


MODEL = ("model_np[12]$", ("test_model",))
TRAIN = ("train_(parity|levers)$", ("test_train",))
OPTIM = ("optim_np[124]$", ("test_optim",))

FAULTS = (
    Fault("a scale: scores of attention", "src/model/attention.cpp",
          ".scale = config.attention_scale", ".scale = config.attention_scale * 1.01",
          *MODEL),
    Fault("a missing reduction: tensor parallelism, backward", "src/model/seam.cpp",
          "    case Kind::copy:\n      return all_reduce(std::move(dy));",
          "    case Kind::copy:\n      return dy;", *MODEL),
    Fault("a missing reduction: norms' gradients over tp", "src/optim/reducer.cpp",
          "  mesh_.tp->all_reduce(packed, Reduction::sum);\n", "", *TRAIN),
    Fault("a wrong offset: room of a reduce-scatter", "src/optim/reducer.cpp",
          "span.offset / ranks * (ranks - 1)", "0", *TRAIN),
    Fault("a dropped wait: gathers of values", "src/optim/values.cpp",
          "  for (const RequestPtr& r : groups_[group].pending) r->wait();\n", "",
          "(train_(parity|levers|delays)|optim_np[24])$", ("test_train", "test_optim")),
    Fault("a dropped sum: oldest reduction", "src/optim/reducer.cpp",
          "  for (const RequestPtr& request : r.requests) request->wait();\n", "",
          "(train_(parity|levers|delays)|optim_np[24])$", ("test_train", "test_optim")),
    Fault("a wrong constant: AdamW's bias correction", "include/trireme/ops/step_state.hpp",
          "s.bias2 = 1 - std::pow(rule.beta2, s.updates);", "s.bias2 = 1;",
          "(train_(optimizers|parity)|optim_np1)$", ("test_train", "test_optim")),
    Fault("an element off: targets", "src/train/batches.cpp",
          "std::transform(sample + 1, sample + seq + 1, to,",
          "std::transform(sample, sample + seq, to,", *TRAIN),
    Fault("a share: the loss's mean", "src/train/batches.cpp",
          "shape.micro_batches * size_ * dp_ * seq", "size_ * dp_ * seq", *TRAIN),
    Fault("a group left out: the gradient's norm", "src/optim/optimizer.cpp",
          "(!p.sharded_over.has(Axis::tp) && mesh_.at.tp > 0)", "false",
          *TRAIN),
    Fault("no key: every epoch has the same order", "src/data/sampler.cpp",
          "philox(key, epoch, r)", "philox(key, 0, r)", "data$", ("test_data",)),
    Fault("a bias that decays", "src/model/linear.cpp", "  bias_->decay = false;\n", "",
          "(model_np1|train_optimizers|optim_np1)$",
          ("test_model", "test_train", "test_optim")),
    Fault("a check that passes: checksums of rows", "src/h5/checksum.cpp",
          "std::bit_cast<std::int64_t>(sum) == "
          "checksums[static_cast<std::size_t>(at / block)]",
          "sum == sum", "(h5|checkpoint_np1)$", ("test_h5", "test_checkpoint")),
)


def run(command, cwd, log):
    with log.open("a") as file:
        return subprocess.run(command, cwd=cwd, stdout=file, stderr=file,
                              stdin=subprocess.DEVNULL, check=False).returncode


class Copy:
    """A copy of the sources that is built as far as the tests need."""

    def __init__(self, folder):
        self.folder = folder / "source"
        self.log = folder / "log.txt"
        self.build = self.folder / "build"
        folder.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        files = subprocess.run(["git", "ls-files"], cwd=SOURCE, text=True, check=True,
                               capture_output=True).stdout.splitlines()
        for name in files:
            to = self.folder / name
            text = (SOURCE / name).read_bytes() if (SOURCE / name).is_file() else None
            if text is None or (to.is_file() and to.read_bytes() == text):
                continue
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, to)
        if run(["cmake", "-S", ".", "-B", "build", "-G", "Ninja", "-DTRIREME_CUDA=OFF"],
               self.folder, self.log) != 0:
            sys.exit(f"CMake failed: see {self.log}")

    def failed_tests(self, fault):
        """The names of tests that fail; "the build", if that does."""
        targets = ["trireme", *fault.targets] if "program" in fault.tests else fault.targets
        if run(["ninja", "-C", "build", *targets], self.folder, self.log) != 0:
            return ["the build"]
        done = subprocess.run(["ctest", "-R", f"^{fault.tests}", "-LE", "campaign", "-j2"],
                              cwd=self.build, text=True, capture_output=True, check=False)
        with self.log.open("a") as file:
            file.write(done.stdout)
        if " 0 tests failed out of" in done.stdout:
            return []
        failed = re.findall(r"^\s+\d+ - (\S+) \(", done.stdout, re.M)
        return failed or ["ctest itself"]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    copy = Copy(Path(sys.argv[1]).resolve())
    words = " ".join(sys.argv[2:])
    chosen = [fault for fault in FAULTS if words in fault.name]
    sound = {}
    missed = []
    for fault in chosen:
        path = copy.folder / fault.file
        text = path.read_text(encoding="utf-8")
        found = text.count(fault.text)
        if found != 1:
            sys.exit(f"{fault.file}: {fault.text!r} stands there {found} times")
        if fault.tests not in sound:
            sound[fault.tests] = copy.failed_tests(fault)
            if sound[fault.tests]:
                sys.exit(f"without a fault: {sound[fault.tests]} fail, see {copy.log}")
        begin = time.monotonic()
        path.write_text(text.replace(fault.text, fault.planted), encoding="utf-8")
        try:
            failed = copy.failed_tests(fault)
        finally:
            path.write_text(text, encoding="utf-8")
        if not failed or failed == ["the build"]:
            missed.append(fault.name)
        print(f"{fault.name}: {', '.join(failed) or 'NOT FOUND'} "
              f"({time.monotonic() - begin:.0f} s)", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults are found")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
