#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs into a temporary folder, and uses the result from elsewhere and in each shell."""
import itertools
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import installed
from installed import SOURCE, command_line, deck_keys, output, prefix, program

SHARE = Path("share")
SHELL_FILES = {
    "bash": SHARE / "bash-completion/completions/trireme",
    "zsh": SHARE / "zsh/site-functions/_trireme",
    "fish": SHARE / "fish/vendor_completions.d/trireme.fish",
}
CMAKE_LISTS = (SOURCE / "CMakeLists.txt").read_text(encoding="utf-8")
VERSION = re.search(r"project\(trireme VERSION (\S+)", CMAKE_LISTS)[1]


def need(test, command):
    path = shutil.which(command)
    if path is None:
        test.skipTest(f"no {command} on this machine")
    return path


class Layout(unittest.TestCase):
    def test_version_from_elsewhere(self):
        self.assertRegex(program("--version"), rf"^trireme {re.escape(VERSION)}( \(git |\n)")

    def test_files(self):
        expected = ["bin/trireme", "bin/trireme-plot", "share/man/man1/trireme.1"]
        expected += ["share/trireme/inputs/gcide.yml", "share/trireme/jobs/install-deps.sh"]
        pages = ["README.md", "LICENSE", "inputs/README.md", "src/README.md", "jobs/README.md"]
        expected += [f"share/doc/trireme/{name}" for name in pages]
        for name in [*expected, *SHELL_FILES.values()]:
            self.assertTrue((prefix() / name).is_file(), name)
        self.assertTrue(os.access(prefix() / "share/trireme/jobs/install-deps.sh", os.X_OK))
        self.assertEqual([], [str(p) for p in prefix().rglob("__pycache__")])

    def test_installed_deck_is_read(self):
        deck = prefix() / "share/trireme/inputs/pythia-70m.yml"
        self.assertIn("memory", program("plan", deck, "--ranks", 8, "--set", "save=x"))

    def test_nothing_points_into_the_build(self):
        dynamic = output("readelf", "-d", prefix() / "bin/trireme")
        self.assertIn("NEEDED", dynamic)
        self.assertNotIn(str(installed.BUILD), dynamic)
        for path in (prefix() / "share").rglob("*"):
            if path.is_file():
                self.assertNotIn(str(installed.BUILD).encode(), path.read_bytes(), path)

    def test_staged(self):
        stage = installed.scratch() / "stage"
        installed.cmake_install("--prefix", "/opt/trireme", DESTDIR=str(stage))
        root = stage / "opt/trireme"
        self.assertEqual(list(stage.iterdir()), [stage / "opt"])
        self.assertIn(f"trireme {VERSION}", output(root / "bin/trireme", "--version"))
        # Files that name the prefix must name the final prefix.
        module = (root / "share/modulefiles/trireme" / VERSION).read_text()
        self.assertIn('"/opt/trireme/bin"', module)
        self.assertNotIn(str(stage), module)

    def test_one_component(self):
        folder = installed.scratch() / "component"
        installed.cmake_install("--prefix", folder, "--component", "program")
        tops = {p.relative_to(folder).parts[:3] for p in folder.rglob("*") if not p.is_dir()}
        self.assertIn(("bin", "trireme"), tops)
        self.assertNotIn(("share", "trireme", "jobs"), tops)
        self.assertNotIn(("bin", "trireme-plot"), tops)


class Plots(unittest.TestCase):
    def run_plot(self, script):
        return output(sys.executable, script, "--help")

    def test_same_commands_here_and_there(self):
        there = self.run_plot(prefix() / "bin/trireme-plot")
        self.assertIn("loss", there)
        self.assertEqual(there, self.run_plot(SOURCE / "analysis/trireme-plot"))

    def test_moved(self):
        moved = installed.scratch() / "moved"
        shutil.copytree(prefix(), moved, symlinks=True)
        self.assertIn("loss", self.run_plot(moved / "bin/trireme-plot"))

    def without_libraries(self, script):
        return subprocess.run([sys.executable, "-S", str(script), "--help"], cwd="/",
                              env={"PATH": os.environ["PATH"]}, text=True, capture_output=True)

    def test_the_python_that_cmake_found_takes_over(self):
        for script in (prefix() / "bin/trireme-plot", SOURCE / "analysis/trireme-plot"):
            if script.is_relative_to(SOURCE) and installed.BUILD.parent != SOURCE:
                continue  # only a build folder within the source tree is looked at
            done = self.without_libraries(script)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("loss", done.stdout)

    def test_without_libraries(self):
        bare = installed.scratch() / "bare"
        shutil.copytree(prefix() / "share/trireme/analysis", bare)
        (bare / "python.txt").unlink()
        done = self.without_libraries(bare / "trireme-plot")
        self.assertEqual(done.returncode, 1)
        for word in ("trireme-plot", "h5py", f"{sys.executable} -m pip install"):
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)


class Manual(unittest.TestCase):
    @staticmethod
    def page(name="trireme"):
        text = (prefix() / f"share/man/man1/{name}.1").read_text(encoding="utf-8")
        return re.sub(r"\\f[BIR]", "", text).replace(r"\-", "-").replace(r"\e", "\\")

    def part(self, title, page):
        """The text of a section, without its title."""
        found = re.search(rf'^\.SH "?{title}"?\n(.*?)(?=^\.SH|\Z)', page, re.M | re.S)
        self.assertIsNotNone(found, title)
        return found[1]

    def test_every_command_and_option(self):
        page = self.page()
        commands = dict(
            entry.split("\n", 1) for entry in self.part("COMMANDS", page).split(".SS ")[1:]
        )
        self.assertEqual(list(commands), [name for name in command_line() if name])
        for name, text in [("", self.part("OPTIONS", page)), *commands.items()]:
            heads = re.findall(r"^\.TP\n(.*)$", text, flags=re.MULTILINE)
            names = [w.strip(",") for head in heads for w in head.split() if w[0] == "-"]
            self.assertEqual(names, command_line()[name], f"options of '{name}'")

    def test_every_deck_key(self):
        entries = re.findall(r"^\.TP\n(.*)$", self.part("DECKS", self.page()), re.MULTILINE)
        self.assertGreater(len(deck_keys()), 50)
        self.assertEqual(entries, deck_keys())

    def test_every_variable_of_ours(self):
        named = set()
        for path in (SOURCE / "src").rglob("*.[ch]*"):
            named |= set(re.findall(r'"(TRIREME_[A-Z_]+)"', path.read_text(encoding="utf-8")))
        self.assertIn("TRIREME_END_TIME", named)
        environment = self.part("ENVIRONMENT", self.page())
        for name in named:
            self.assertIn(name, environment)

    def test_exit_statuses(self):
        codes = re.findall(r"^\.TP\n\.B (\d+)", self.part("EXIT STATUS", self.page()), re.M)
        self.assertEqual(codes, ["0", "1", "75"])

    def test_prints_the_same(self):
        raw = (prefix() / "share/man/man1/trireme.1").read_text(encoding="utf-8")
        self.assertEqual(raw.strip(), program("--manual").strip())

    def test_plots(self):
        page = self.page("trireme-plot")
        listed = re.findall(r"^\.SS (\S+)", page, flags=re.MULTILINE)
        text = output(sys.executable, prefix() / "bin/trireme-plot", "--help")
        self.assertEqual(listed, re.findall(r"^    (\w[\w-]*)", text, flags=re.MULTILINE))

    def test_lint(self):
        mandoc = need(self, "mandoc")
        for name in ("trireme", "trireme-plot"):
            output(mandoc, "-T", "lint", prefix() / f"share/man/man1/{name}.1")


class Completion(unittest.TestCase):
    def bash(self, *words):
        """What Tab offers after these words; readline splits key=value into three words."""
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _trireme; '
        script += 'printf "%s\\n" "${COMPREPLY[@]}"'
        command = ["bash", "--norc", "-c", script, "-", prefix() / SHELL_FILES["bash"]]
        return output(*command, "trireme", *words).split()

    def test_bash_commands(self):
        self.assertEqual(self.bash("tr"), ["train"])
        self.assertEqual(self.bash(""), [name for name in command_line() if name])

    def test_bash_options(self):
        for name, options in command_line().items():
            self.assertEqual(self.bash(*([name] if name else []), "-"), options, name)

    def test_bash_deck_keys(self):
        self.assertEqual(self.bash("train", "--set", ""), [k + "=" for k in deck_keys()])
        self.assertIn("lr_decay_style=", self.bash("plan", "--set", "lr_d"))
        self.assertEqual(self.bash("bench", "--against", "optimizer.params.mom"),
                         ["optimizer.params.momentum="])

    def test_bash_values(self):
        norms = ["layernorm", "rmsnorm"]
        self.assertEqual(self.bash("train", "--set", "norm", "="), norms)
        self.assertEqual(self.bash("train", "--set", "norm", "=", "r"), norms[1:])
        self.assertEqual(self.bash("train", "--set", "=", "norm", "=", "r"), norms[1:])
        self.assertEqual(self.bash("train", "--set", "norm=r"), ["norm=rmsnorm"])
        self.assertEqual(self.bash("train", "--set", "sequence-parallel", "=", "t"), ["true"])
        self.assertEqual(self.bash("--completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.bash("keys", "lr_decay_i"), ["lr_decay_iters"])
        self.assertEqual(self.bash("train", "--help-keys", "lr_decay_i"), ["lr_decay_iters"])

    def test_bash_files(self):
        decks = installed.scratch() / "decks"
        for name in ("a.yml", "b.json", "c.h5", "d/e.yaml"):
            (decks / name).parent.mkdir(parents=True, exist_ok=True)
            (decks / name).touch()
        start = f"{decks}/".replace(" ", "\\ ")
        offered = self.bash("train", start)
        text = " ".join(offered)
        self.assertRegex(text, "a.yml")
        self.assertRegex(text, "b.json")
        self.assertNotRegex(text, "c.h5")
        # readline offers files itself
        self.assertEqual(self.bash("bench", "--json", start), [])
        self.assertEqual(self.bash("inspect", start), [])
        folders = " ".join(self.bash("inspect", "x", "--diff", start))
        self.assertTrue(folders.endswith("/d"), folders)
        self.assertNotRegex(folders, "a.yml")

    def test_every_word_in_each_shell(self):
        for shell, file in SHELL_FILES.items():
            text = (prefix() / file).read_text(encoding="utf-8")
            words = [*command_line(), *itertools.chain(*command_line().values())]
            for word in filter(None, [*words, *deck_keys()]):
                if shell == "fish" and word.startswith("-"):  # -l name, -s n
                    word = f" {'-l' if word[:2] == '--' else '-s'} {word.lstrip('-')}"
                self.assertIn(word, text, shell)
            self.assertEqual(text.strip(), program("--completion", shell).strip())

    def test_syntax(self):
        for shell, file in SHELL_FILES.items():
            with self.subTest(shell):
                output(need(self, shell), "-n", prefix() / file)

    def test_bash_lint(self):
        shellcheck = need(self, "shellcheck")
        output(shellcheck, "-s", "bash", prefix() / SHELL_FILES["bash"])

    def test_fish(self):
        fish = need(self, "fish")
        path = str(prefix() / SHELL_FILES["fish"])

        def offered(line):
            out = output(fish, "-N", "-c", "source $argv[1]; complete -C $argv[2]", path, line)
            return [row.split("\t")[0] for row in out.splitlines()]

        self.assertEqual(offered("trireme tr"), ["train"])
        self.assertIn("lr_decay_iters=", offered("trireme train --set lr_d"))
        self.assertEqual(offered("trireme plan --set norm=r"), ["norm=rmsnorm"])
        self.assertEqual(offered("trireme keys lr_decay_i"), ["lr_decay_iters"])
        self.assertEqual(offered("trireme train --help-keys lr_decay_i"), ["lr_decay_iters"])


class ModuleFiles(unittest.TestCase):
    def check(self, said):
        folders = {"PATH": "bin", "MANPATH": "share/man", "XDG_DATA_DIRS": "share"}
        for name, folder in folders.items():
            self.assertIn(f"prepend {name} {prefix() / folder}\n", said)
            self.assertTrue((prefix() / folder).is_dir())
        data = prefix() / "share/trireme"
        for name, path in (("INPUTS", data / "inputs"), ("HOME", data),
                           ("PROGRAM", prefix() / "bin/trireme")):
            self.assertIn(f"setenv TRIREME_{name} {path}\n", said)
        self.assertTrue((data / "jobs/turn.sh").is_file())
        self.assertIn("append XDG_DATA_DIRS /usr/local/share:/usr/share\n", said)
        self.assertIn("conflict trireme\n", said)
        self.assertIn(VERSION, said)

    def test_tcl(self):
        script = "proc module-whatis {text} { puts $text }\n"
        script += "proc conflict {name} { puts \"conflict $name\" }\n"
        for command in ("setenv", "prepend-path", "append-path"):
            said = command.removesuffix("-path")
            script += f"proc {command} {{name value}} {{ puts \"{said} $name $value\" }}\n"
        script += "source [lindex $argv 0]\nModulesHelp\n"
        stand_in = installed.scratch() / "modules.tcl"
        stand_in.write_text(script)
        file = prefix() / "share/modulefiles/trireme" / VERSION
        self.assertTrue(file.read_text().startswith("#%Module"))
        self.check(output(need(self, "tclsh"), stand_in, file, env=without_data_dirs()))

    def test_lua(self):
        lua = shutil.which("lua") or need(self, "lua5.3")
        script = "function whatis(text) print(text) end help = whatis\n"
        script += "function conflict(name) print('conflict ' .. name) end\n"
        for command in ("setenv", "prepend_path", "append_path"):
            said = command.removesuffix("_path")
            script += f"function {command}(name, value) "
            script += f"print('{said} ' .. name .. ' ' .. value) end\n"
        script += "dofile(arg[1])\n"
        stand_in = installed.scratch() / "modules.lua"
        stand_in.write_text(script)
        file = prefix() / "share/modulefiles/trireme" / f"{VERSION}.lua"
        self.check(output(lua, stand_in, file, env=without_data_dirs()))


def without_data_dirs():
    return {k: v for k, v in os.environ.items() if k != "XDG_DATA_DIRS"}


if __name__ == "__main__":
    unittest.main()
