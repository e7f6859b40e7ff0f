#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recipes of package managers against what they package: libraries, options, files, versions.
Spack, EasyBuild and ReFrame need not be installed; jobs/packaging.md says what was tried."""
import re
import subprocess
import sys
import types
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True

SOURCE = Path(__file__).resolve().parents[3]
JOBS = SOURCE / "jobs"
CONTRIB = JOBS / "contrib"
CMAKE = "\n".join(
    p.read_text(encoding="utf-8")
    for p in [SOURCE / "CMakeLists.txt", SOURCE / "src/backend/cuda/toolkit.cmake",
              JOBS / "install/install.cmake"]
)
VERSION = re.search(r"project\(trireme VERSION (\S+)", CMAKE)[1]

# Libraries of debian-packages.txt with their names in Spack and EasyBuild; EasyBuild's
# toolchain has MPI and OpenBLAS. Add a library here when it is added there.
LIBRARIES = {
    "libopenmpi-dev": ("mpi", None),
    "libhdf5-dev": ("hdf5", "HDF5"),
    "libeigen3-dev": ("eigen", "Eigen"),
    "libopenblas-openmp-dev": ("openblas", None),
    "libboost-test-dev": ("boost", None),
    "libboost-context-dev": ("boost", None),
    "libyaml-cpp-dev": ("yaml-cpp", "yaml-cpp"),
    "libre2-dev": ("re2", "RE2"),
    "libcli11-dev": ("cli11", "CLI11"),
    "libfmt-dev": ("fmt", "fmt"),
    "libspdlog-dev": ("spdlog", "spdlog"),
    "librandom123-dev": ("random123", "random123"),
    "nlohmann-json3-dev": ("nlohmann-json", "nlohmann_json"),
    "libsimdjson-dev": ("simdjson", "simdjson"),
    "libxxhash-dev": ("xxhash", "xxHash"),
    "libpcre2-dev": ("pcre2", "PCRE2"),
    "libutf8proc-dev": ("utf8proc", "utf8proc"),
    "libarchive-dev": ("libarchive", "libarchive"),
    "zlib1g-dev": ("zlib-api", "zlib"),
    "libpng-dev": ("libpng", None),  # optional, and so are the next two
    "libjpeg62-turbo-dev": ("libjpeg-turbo", None),
    "liburing-dev": ("liburing", None),
}


def debian_libraries():
    lines = (JOBS / "debian-packages.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.startswith("build ")]
    return [row[1] for row in rows if row[1].endswith("-dev")]


def check_options(test, text):
    """Each -D of the text is an option of our CMake files, or CMake's own."""
    for name in re.findall(r"-D(\w+)=", text):
        if not name.startswith("CMAKE_"):
            test.assertTrue(re.search(rf"\b(set|option)\({name} ", CMAKE), name)


class Everywhere(unittest.TestCase):
    def test_the_table_above(self):
        self.assertEqual(sorted(LIBRARIES), sorted(debian_libraries()))


class SpackPackage:
    """A stand-in for Spack's base class, with the calls that a recipe may make."""

    run_tests = False

    def __init__(self, variants):
        self.spec = types.SimpleNamespace(
            satisfies=lambda word: variants[word[1:]] == (word[0] == "+"),
            variants={"cuda_arch": types.SimpleNamespace(value=("80", "90"))},
        )
        self.values = variants

    @staticmethod
    def define(name, value):
        return f"-D{name}={value}"

    def define_from_variant(self, name, variant):
        return f"-D{name}={self.values[variant]}"


class Spack(unittest.TestCase):
    @staticmethod
    def load():
        """The recipe's class, and the arguments of its directives."""
        told = []

        def directive(name):
            def remember(*arguments, **more):
                told.append((name, arguments, more))
                return mock.MagicMock()
            return remember

        names = "version variant depends_on conflicts license generator when".split()
        package = types.ModuleType("spack.package")
        for name in names:
            setattr(package, name, directive(name))
        package.CMakePackage = SpackPackage
        package.CudaPackage = type("CudaPackage", (), {})
        spack = types.ModuleType("spack")
        with mock.patch.dict(sys.modules, {"spack": spack, "spack.package": package}):
            space = {}
            exec((CONTRIB / "spack/package.py").read_text(encoding="utf-8"), space)
        return space["Trireme"], told

    def test_libraries(self):
        named = {re.match(r"[\w-]+", arguments[0])[0]
                 for name, arguments, _ in self.load()[1] if name == "depends_on"}
        for spack, _ in LIBRARIES.values():
            self.assertIn(spack, named)
        self.assertLessEqual({"cuda", "nccl", "cudnn", "cmake", "c", "cxx"}, named)

    def test_options(self):
        recipe, told = self.load()
        variants = {arguments[0] for name, arguments, _ in told if name == "variant"}
        self.assertEqual(variants, {"nccl", "cudnn", "plots"})
        for cuda in (False, True):
            words = recipe({"cuda": cuda, "nccl": True}).cmake_args()
            check_options(self, " ".join(words))
            self.assertIn(f"-DTRIREME_CUDA={cuda}", words)
            self.assertEqual("-DTRIREME_NCCL=True" in words, cuda)


class EasyBuild(unittest.TestCase):
    FILES = sorted((CONTRIB / "easybuild").glob("*.eb"))

    @staticmethod
    def load(file):
        constants = {"SYSTEM": {"name": "system"}, "SHLIB_EXT": "so", "SOURCELOWER_TAR_GZ": "",
                     "GITHUB_SOURCE": ""}
        exec(file.read_text(encoding="utf-8"), constants)
        return types.SimpleNamespace(**constants)

    def test_names(self):
        self.assertEqual(len(self.FILES), 3)
        for file in self.FILES:
            e = self.load(file)
            toolchain = f"{e.toolchain['name']}-{e.toolchain['version']}"
            suffix = getattr(e, "versionsuffix", "") % {"cudaver": "12.6.0"}
            self.assertEqual(file.name, f"{e.name}-{e.version}-{toolchain}{suffix}.eb")

    def test_trireme(self):
        for file in self.FILES:
            if not file.name.startswith("Trireme"):
                continue
            e = self.load(file)
            self.assertEqual(e.version, VERSION)
            named = {row[0] for row in e.dependencies + e.builddependencies}
            self.assertLessEqual({eb for _, eb in LIBRARIES.values() if eb}, named)
            check_options(self, e.configopts)
            self.assertEqual("CUDA" in file.name, {"CUDA", "NCCL", "cuDNN"} <= named)


class Containers(unittest.TestCase):
    FOLDER = JOBS / "containers"

    def copied(self):
        """Files that the Dockerfile and trireme.def take from the source tree."""
        docker = (self.FOLDER / "Dockerfile").read_text(encoding="utf-8")
        lines = re.findall(r"^COPY (?!--)(.*)$", docker, flags=re.MULTILINE)
        apptainer = (CONTRIB / "apptainer/trireme.def").read_text(encoding="utf-8")
        files = re.search(r"^%files\n(.*?)^%", apptainer, flags=re.MULTILINE | re.DOTALL)[1]
        return (sorted(word for line in lines for word in line.split()[:-1]),
                sorted(line.split()[0] for line in files.splitlines() if line.strip()))

    def test_both_take_the_same(self):
        docker, apptainer = self.copied()
        self.assertEqual(docker, apptainer)
        for name in docker:
            self.assertTrue((SOURCE / name).exists(), name)

    def test_what_cmake_reads_is_taken(self):
        named = set(re.findall(r"\$\{CMAKE_SOURCE_DIR\}/([\w.]+)", CMAKE))
        self.assertGreater(len(named), 4)
        self.assertLessEqual(named, set(self.copied()[0]))

    def test_options(self):
        check_options(self, (self.FOLDER / "steps.sh").read_text(encoding="utf-8"))

    def test_usage(self):
        for words in ([], ["bild"], ["build", "x"]):
            done = subprocess.run([self.FOLDER / "steps.sh", *words], capture_output=True,
                                  text=True)
            self.assertEqual(done.returncode, 1, words)
            self.assertRegex(done.stderr, "usage|PREFIX")


class ReFrame(unittest.TestCase):
    def test_deck_of_the_references(self):
        checks = (JOBS / "reframe/trireme_checks.py").read_text(encoding="utf-8")
        deck = (JOBS / "reframe/src/smoke.yml").read_text(encoding="utf-8")
        last = re.search(r"train_iters: (\d+)", deck)[1]
        self.assertRegex(checks, rf"LOSSES = {{.*\b{last}: ")
        self.assertIn(f"/{last}\\s", checks)

    def test_settings(self):
        for folder, name in ((JOBS, "settings.py"), (CONTRIB, "settings_slurm.py")):
            space = {}
            exec((folder / "reframe" / name).read_text(encoding="utf-8"), space)
            for system in space["site_configuration"]["systems"]:
                for partition in system["partitions"]:
                    self.assertEqual(partition["environs"], ["installed"])


if __name__ == "__main__":
    unittest.main()
