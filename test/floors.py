#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Holds the floors of src/README.md against every #include of the tree, and the few
# rules of layout that no other tool knows. `floors.py --self-test` breaks each rule once.
import argparse
import re
import sys
import tempfile
from pathlib import Path

import statements

# A folder may include its row, and what that rests on. The backends' public headers stand
# together in include/trireme/backend, row "backend".
FLOORS = {
    "core": [],
    "device": ["core"],
    "tensor": ["device"],
    "ops": ["tensor"],
    "comm": ["tensor"],
    "h5": ["tensor"],
    "backend": ["ops", "comm"],
    "backend/cpu": ["backend"],
    "backend/cuda": ["backend"],
    "backend/no_cuda": ["backend"],
    "backend/dry": ["backend"],
    "model": ["ops", "comm"],
    "io": ["core"],
    "optim": ["model", "io"],
    "pipeline": ["model"],
    "tokenizer": ["core"],
    "image": ["core"],
    "data": ["h5", "tokenizer", "image"],
    "checkpoint": ["h5", "comm"],
    "deck": ["optim", "pipeline", "data"],
    "huggingface": ["deck", "checkpoint"],
    "host": ["deck", "backend"],
    "train": ["deck", "checkpoint", "data"],
    "forecast": ["train", "host"],
    "record": ["forecast", "h5"],
    "bench": ["train", "host"],
    "verify": ["train"],
    "inference": ["train"],
    "tasks": ["deck"],
    "app": ["record", "bench", "verify", "inference", "huggingface", "tasks"],
}

# Headers of the outside world, and the one folder under src/ that knows each.
KEEPERS = [
    (re.compile(r"mpi(-ext)?\.h"), "comm"),
    (re.compile(r"(hdf5(_hl)?|H5\w+)\.h"), "h5"),
    (re.compile(r"(cuda|cublas|cudnn|nccl|cub/|thrust/).*"), "backend/cuda"),
    (re.compile(r"liburing\.h"), "io"),
    (re.compile(r"(png|jpeglib)\.h"), "image"),
    (re.compile(r"(cblas|openblas_config|f77blas|lapacke).*\.h"), "backend/cpu"),
]
# Tests of the CUDA backend, and the CPU that stands in for a GPU, are that backend's own.
CUDA_TESTS = re.compile(r"test/(backend/cuda|emulator)/.*")
# Searched after the includer's own folder: by nvcc; test/emulator has another file of the name.
SEARCHED = {"backend/cuda": Path("src/backend/cuda/native")}
# Every test program runs under MPI, so this one file starts it.
MPI_MAIN = Path("test/support/mpi_main.cpp")

CODE = {".cpp", ".hpp", ".cu", ".cuh"}
# Scripts without a suffix.
COMMANDS = ["analysis/trireme-plot", "analysis/trireme-torch-to-safetensors", ".ci/run"]
HEADERS = {".hpp", ".cuh"}
SCRIPTS = {".py", ".sh", ".sbatch", ".pbs", ".lsf", ".flux"}
MAX_LINES = 400  # src/ and include/
MAX_COLUMNS = 96
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def rests_on(folder, table=None):
    """All folders below `folder`. Raises ValueError where the table has a cycle."""
    table = FLOORS if table is None else table
    below = set()

    def descend(name, path):
        if name in path:
            raise ValueError("cycle in the table: " + " -> ".join([*path, name]))
        for lower in table[name]:
            below.add(lower)
            descend(lower, [*path, name])

    descend(folder, [])
    return below


def folder_of(path):
    """The floor that a file of ours belongs to, or None (tests and others)."""
    parts = path.parts
    if path == Path("src/main.cpp"):
        return "app"
    if parts[0] == "src" and len(parts) > 2:
        inner = parts[1:-1]
        return "/".join(inner[:2]) if inner[0] == "backend" else inner[0]
    if parts[:2] == ("include", "trireme") and len(parts) > 3:
        return parts[2]
    return None


def mirrored(path):
    """The folder under src/ that a test mirrors, or None: test/comm/mpi/x.cpp mirrors comm."""
    if CUDA_TESTS.fullmatch(path.as_posix()):
        return "backend/cuda"
    inner = path.parts[1:-1]
    if path.parts[0] != "test" or not inner:
        return None
    folder = "/".join(inner[:2]) if inner[0] == "backend" else inner[0]
    return folder if folder in FLOORS else None


def keeper_place(path):
    """Where `path` counts as standing for KEEPERS."""
    return folder_of(path) if path.parts[0] == "src" else mirrored(path)


class Tree:
    """Our files with their includes, each resolved to a file of ours where it is one."""

    def __init__(self, root):
        self.root = Path(root)
        self.problems = []
        self.code = self._find(["src", "include", "test"], CODE)
        self.includes = {path: self._includes(path) for path in self.code}

    def _find(self, tops, suffixes):
        found = []
        for top in tops:
            for path in sorted((self.root / top).rglob("*")):
                if path.suffix in suffixes and path.is_file():
                    found.append(path.relative_to(self.root))
        return found

    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8")

    def complain(self, path, message):
        self.problems.append(f"{path}: {message}")

    def _includes(self, path):
        """[(the name as written, our file or None)]"""
        found = []
        for quote, name in INCLUDE.findall(self.text(path)):
            target = None
            if name.startswith("trireme/"):
                target = Path("include") / name
            elif quote == '"':
                target = (self.root / path).parent / name
                target = target.resolve().relative_to(self.root.resolve())
                searched = SEARCHED.get(folder_of(path))
                if searched and not (self.root / target).is_file():
                    target = searched / name
            if target is not None and not (self.root / target).is_file():
                self.complain(path, f'"{name}" is no file of ours (libraries go in <>)')
                target = None
            found.append((name, target))
        return found

    # --- the rules ---------------------------------------------------------------------------

    def check_floors(self):
        for path in self.code:
            folder = folder_of(path)
            if path.parts[0] != "test" and folder not in FLOORS:
                self.complain(path, f"folder '{folder}' has no row in the table of floors")
                continue
            for name, target in self.includes[path]:
                if target is not None:
                    self._check_edge(path, folder, name, target)

    def _check_edge(self, path, folder, name, target):
        of = folder_of(target)
        if of is None:
            if path.parts[0] != "test":
                self.complain(path, f"'{name}' belongs to the tests")
            return
        own = folder or mirrored(path)
        if target.parts[0] == "src" and of != own:
            self.complain(path, f"'{name}' is private to {target.parent}")
        if folder is None or of == folder:
            return
        if of not in rests_on(folder):
            self.complain(path, f"'{name}': {folder} may not include {of}")

    def check_keepers(self):
        for path in self.code:
            for name, target in self.includes[path]:
                for pattern, folder in KEEPERS:
                    if target is not None or not pattern.fullmatch(name):
                        continue
                    if keeper_place(path) != folder and path != MPI_MAIN:
                        self.complain(path, f"<{name}> only in src/{folder}")

    def check_placement(self):
        """A header is public exactly if another folder includes it, or such a header does.

        A test counts as the folder that it mirrors.
        """
        outside = set()
        for path, includes in self.includes.items():
            for _, target in includes:
                if target is not None and self._from_outside(path, target):
                    outside.add(target)
        for _ in range(len(self.includes)):  # what a public header needs is public
            more = {t for path in outside for _, t in self.includes.get(path, ()) if t}
            if more <= outside:
                break
            outside |= more
        for path in self.code:
            if path.suffix not in HEADERS or path.parts[0] != "include" or path in outside:
                continue
            self.complain(path, "no other folder includes it: its place is src/")

    @staticmethod
    def _from_outside(path, target):
        if path == Path("src/main.cpp"):
            return True
        top = [(folder_of(p) or mirrored(p) or "").split("/")[0] for p in (path, target)]
        return top[0] != top[1]

    def check_cycles(self):
        done = set()

        def descend(path, trail):
            if path in trail:
                ring = [*trail[trail.index(path) :], path]
                self.complain(path, "includes itself: " + " -> ".join(map(str, ring)))
                return
            if path in done:
                return
            for _, target in self.includes.get(path, []):
                if target is not None:
                    descend(target, [*trail, path])
            done.add(path)

        for path in self.code:
            descend(path, [])

    def check_layout(self):
        scripts = self._find(["test", "analysis", "jobs"], SCRIPTS)
        scripts += [p for p in map(Path, COMMANDS) if (self.root / p).is_file()]
        for path in [*self.code, *scripts]:
            lines = self.text(path).splitlines()
            self._check_head(path, lines)
            if path.parts[0] in ("src", "include") and len(lines) > MAX_LINES:
                self.complain(path, f"{len(lines)} lines, at most {MAX_LINES}")
            wide = [i for i, line in enumerate(lines, 1) if len(line) > MAX_COLUMNS]
            if wide:
                count = f"{len(wide)} lines over {MAX_COLUMNS} columns"
                self.complain(f"{path}:{wide[0]}", count + ", this the first")

    def check_statements(self):
        for path in self.code:
            for line, message in statements.problems(self.text(path)):
                self.complain(f"{path}:{line}", message)

    def check_readme(self):
        """The page shows the same table, the backends in one row."""
        page = "src/README.md"
        if not (self.root / page).is_file():
            return
        rows = re.findall(r"^\| ([\w/*]+) \|.*\| ([\w, ]+) \|$", self.text(page), re.M)
        shown = {folder.removesuffix("/*"): below for folder, below in rows}
        for folder, below in FLOORS.items():
            expected = {"core": "nothing"}.get(folder, ", ".join(below))
            if "/" not in folder and shown.get(folder) != expected:
                self.complain(page, f"its row of {folder} should end in '{expected}'")

    def _check_head(self, path, lines):
        mark = "//" if path.suffix in CODE else "#"
        head = [line for line in lines[:3] if not line.startswith(("#!", "# shellcheck "))]
        if not head or head[0] != f"{mark} SPDX-License-Identifier: Apache-2.0":
            self.complain(path, f"opens with '{mark} SPDX-License-Identifier: Apache-2.0'")
        elif len(head) < 2 or not re.match(rf'({mark} |""")[`\w]', head[1]):
            self.complain(path, "the line after that says what the file is for")


def check(root):
    """All that is wrong with the tree at `root`, a line each."""
    tree = Tree(root)
    if not tree.code:
        return [f"{root}: no sources found"]
    for rule in ("floors", "keepers", "placement", "cycles", "layout", "statements", "readme"):
        getattr(tree, "check_" + rule)()
    return tree.problems


# --- self-test -------------------------------------------------------------------------------

HEAD = "// SPDX-License-Identifier: Apache-2.0\n// What it is for.\n"
STATEMENTS = """#define TRM_X(x) \\
  if (x) \\
    y();
// if (a)
//   b();
const char* text = R"(if (a)
  b();)";
void f(int a) {
  if (a > 1) return;
  for (int i = 0; i < a; ++i) g(i, '"', "}");
  do {
    g(1);
  } while (a > 0);
  if constexpr (true) {
    g([&] { return a; });
  } else if (a < 2) {
    while (a) g(2);
  }
}
struct S {
""" + "  int a;\n" * 60 + "};\n"
SOUND = {
    "src/core/statements.cpp": STATEMENTS,
    "src/main.cpp": '#include "trireme/app/main.hpp"\n',
    "include/trireme/app/main.hpp": "",
    "src/app/main.cpp": '#include "trireme/backend/cpu.hpp"\n#include "trireme/core/a.hpp"\n',
    "include/trireme/core/a.hpp": "#include <cstdint>\n",
    "include/trireme/ops/gemm.hpp": '#include "trireme/core/a.hpp"\n',
    "include/trireme/backend/cpu.hpp": '#include "trireme/ops/gemm.hpp"\n',
    "src/backend/cpu/gemm.cpp": '#include <cblas.h>\n#include "trireme/backend/cpu.hpp"\n',
    "src/backend/cuda/norm.cu": '#include "simt.cuh"\n#include <cuda_runtime.h>\n',
    "src/backend/cuda/native/simt.cuh": '#include "../check.hpp"\n',
    "src/backend/cuda/check.hpp": "#include <cuda_runtime.h>\n",
    "test/comm/calls_test.cpp": '#include "../../src/comm/calls.hpp"\n',
    "test/emulator/simt.cuh": '#include "../../src/backend/cuda/check.hpp"\n',
    "test/backend/cuda/norm.cpp": "#include <cuda_runtime.h>\n",
    "src/comm/mpi.cpp": '#include <mpi.h>\n#include "calls.hpp"\n',
    "src/comm/calls.hpp": "",
    "test/support/mpi_main.cpp": "#include <mpi.h>\n",
    "test/core/a.cpp": '#include "trireme/core/a.hpp"\n',
}
BROKEN = [  # what is added to or put over SOUND, and what must be said about it
    ({"src/core/x.cpp": '#include "trireme/ops/gemm.hpp"\n'}, "core may not include ops"),
    ({"src/core/x.cpp": "#include <trireme/ops/gemm.hpp>\n"}, "core may not include ops"),
    ({"src/model/x.cpp": '#include "trireme/backend/cpu.hpp"\n'}, "may not include backend"),
    ({"src/app/x.cpp": '#include "../comm/calls.hpp"\n'}, "is private to src/comm"),
    ({"test/h5/x.cpp": '#include "../../src/comm/calls.hpp"\n'}, "is private to src/comm"),
    ({"src/extra/x.cpp": ""}, "has no row"),
    ({"src/core/x.cpp": '#include "y.hpp"\n'}, "is no file of ours"),
    ({"include/trireme/comm/x.hpp": "#include <mpi.h>\n"}, "<mpi.h> only in src/comm"),
    ({"src/app/x.cpp": "# include <mpi.h>\n"}, "<mpi.h> only in src/comm"),
    ({"test/core/x.cpp": "#include <hdf5.h>\n"}, "<hdf5.h> only in src/h5"),
    ({"src/backend/cpu/x.cpp": "#include <cuda_runtime.h>\n"}, "only in src/backend/cuda"),
    ({"src/backend/cpu/x.cpp": "#include <nccl.h>\n"}, "only in src/backend/cuda"),
    ({"test/core/x.cpp": "#include <cuda_runtime.h>\n"}, "only in src/backend/cuda"),
    (
        {"test/backend/cuda/x.cpp": '#include "../../../src/comm/calls.hpp"\n'},
        "is private to src/comm",
    ),
    ({"src/comm/x.cpp": '#include "simt.cuh"\n'}, "is no file of ours"),
    ({"src/model/x.cpp": "#include <cblas.h>\n"}, "only in src/backend/cpu"),
    ({"src/app/main.cpp": ""}, "include/trireme/backend/cpu.hpp: no other folder"),
    ({"src/main.cpp": ""}, "include/trireme/app/main.hpp: no other folder"),
    (
        {"src/core/x.hpp": '#include "y.hpp"\n', "src/core/y.hpp": '#include "x.hpp"\n'},
        "includes itself",
    ),
    ({"src/core/x.cpp": "\n" * 400}, "402 lines, at most 400"),
    ({"src/core/x.cpp": "// " + "é" * 94 + "\n"}, "src/core/x.cpp:3: 1 lines over 96"),
    ({"src/core/x.cpp": "int f(int a) {\n  if (a)\n    return 1;\n}\n"}, "x.cpp:4: a body"),
    ({"src/core/x.cpp": "void f() {\n  for (;;)\n    if (f()) g();\n}\n"}, "x.cpp:4: a body"),
    ({"src/core/x.cpp": "void f() {\n  if (a) {\n  } else\n    g();\n}\n"}, "x.cpp:5: a body"),
    ({"src/core/x.cpp": "void f() {\n  if (a) g(); else {}\n}\n"}, "x.cpp:4: a body"),
    ({"src/core/x.cpp": "void f() const {" + "\n" * 60 + "}\n"}, "a function of 60 lines"),
    ({"src/core/x.cpp": "auto f() -> int {" + "\n" * 60 + "}\n"}, "a function of 60 lines"),
    ({"src/core/x.cpp": "A::A() : a{1}, b(2) {" + "\n" * 60 + "}\n"}, "function of 60 lines"),
    ({"src/README.md": "| comm | MPI | ops |\n"}, "its row of comm should end in 'tensor'"),
    ({"jobs/x.sh": "#!/bin/sh\n"}, "jobs/x.sh: opens with '# SPDX"),
    ({"jobs/x.pbs": "#!/bin/sh\n"}, "jobs/x.pbs: opens with '# SPDX"),
    (
        {"analysis/x.py": "# SPDX-License-Identifier: Apache-2.0\nimport sys\n"},
        "says what the file is for",
    ),
]
FIXED = [  # what `statements.py --fix` makes of a function's body
    ("if (a) f(); else g();", "if (a) { f(); } else { g(); }"),
    ("for (;;)\n  if (a) f();\nh();", "for (;;)\n  { if (a) f(); }\nh();"),
    (
        "if (a) try {\n  f();\n} catch (const E& e) {\n  g();\n} catch (...) {\n}\nh();",
        "if (a) { try {\n  f();\n} catch (const E& e) {\n  g();\n} catch (...) {\n} }\nh();",
    ),
    (
        "if (a)\n  try {\n  } catch (...) {\n  }\nelse\n  f();",
        "if (a)\n  { try {\n  } catch (...) {\n  } }\nelse\n  { f(); }",
    ),
    (
        "while (a)\n  do {\n    f();\n  } while (b);\nh();",
        "while (a)\n  { do {\n    f();\n  } while (b); }\nh();",
    ),
]


def write_tree(root, files):
    for name, text in files.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        head = HEAD if path.suffix in CODE else ""
        path.write_text(head + text, encoding="utf-8")


def self_test():
    """Problems of this script: a rule that misses its violation, or sees one where none is."""
    wrong = []
    for change, expected in [({}, None), *BROKEN]:
        with tempfile.TemporaryDirectory() as root:
            write_tree(root, {**SOUND, **change})
            found = check(root)
        if expected is None and found:
            wrong.append(f"a sound tree is refused: {found}")
        if expected is not None and not any(expected in line for line in found):
            wrong.append(f"{change} should give '{expected}', gave {found}")
    for before, after in FIXED:
        fixed = statements.with_braces(before)
        if fixed != after:
            wrong.append(f"{before!r} should become {after!r}, became {fixed!r}")
        if statements.bodies_without_braces(after):
            wrong.append(f"{after!r} is refused")
    try:
        rests_on("a", {"a": ["b"], "b": ["a"]})
        wrong.append("a cycle in the table is not seen")
    except ValueError:
        pass
    return wrong


def main():
    parser = argparse.ArgumentParser(description="Checks the floors of src/README.md.")
    parser.add_argument("--self-test", action="store_true", help="checks this script")
    parser.add_argument("root", nargs="?", default=Path(__file__).parent.parent)
    arguments = parser.parse_args()
    problems = self_test() if arguments.self_test else check(arguments.root)
    for line in problems:
        print(line, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
