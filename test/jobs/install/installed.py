# SPDX-License-Identifier: Apache-2.0
"""An installed Trireme in a folder of its own, and what its program prints about itself.

Environment variables: TRIREME_BUILD is the build folder to install (default: build in this
source tree), CMAKE the cmake program.

"""
import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("TRIREME_BUILD", SOURCE / "build")).resolve()
CMAKE = os.environ.get("CMAKE", "cmake")


@functools.cache
def scratch():
    folder = tempfile.mkdtemp(prefix="trireme install ")  # a path with spaces, as users have
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def cmake_install(*arguments, **variables):
    """Runs a command and returns its output."""
    command = [CMAKE, "--install", str(BUILD), *map(str, arguments)]
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


@functools.cache
def prefix():
    """The folder of the installation that most tests share."""
    folder = scratch() / "prefix"
    cmake_install("--prefix", folder)
    return folder


def output(*command, **options):
    """The output of a command that must succeed, started in a folder without our files."""
    done = subprocess.run(
        list(map(str, command)), cwd="/", text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, **options
    )
    if done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode} of {command}\n{done.stdout}")
    return done.stdout


def program(*arguments):
    return output(prefix() / "bin" / "trireme", *arguments)


def section(text, title):
    """The indented lines below a title of --help."""
    # Newer releases of CLI11 write the titles in capitals.
    lines = re.split(rf"^{title}:$", text, flags=re.MULTILINE | re.IGNORECASE)
    return re.match(r"(\n {2}.*)*", lines[1]).group() if len(lines) > 1 else ""


def options_of(help_text):
    """["-h", "--help", …]"""
    heads = re.findall(r"^  (-\S+(?:, +-\S+)?)", section(help_text, "Options"), re.MULTILINE)
    return [name for head in heads for name in re.split(", *", head)]


@functools.cache
def command_line():
    """{"": options of the program, "train": options of train, …}, as --help shows them."""
    text = program("--help")
    names = re.findall(r"^  (\w\S*)", section(text, "Subcommands"), flags=re.MULTILINE)
    found = {"": options_of(text)}
    for name in names:
        found[name] = options_of(program(name, "--help"))
    return found


@functools.cache
def deck_keys():
    """The paths of keys that set something, as --help-keys shows them."""
    text = program("train", "--help-keys").split("Keys without effect here")[0]
    return re.findall(r"^  ([\w.]+): ", text, flags=re.MULTILINE)
