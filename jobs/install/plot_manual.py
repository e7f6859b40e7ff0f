#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes trireme-plot(1) from the command line that the package itself builds."""
import argparse
import re
import sys
from pathlib import Path
from unittest import mock

SYNOPSIS = r""".SH SYNOPSIS
.B trireme\-plot
\fICOMMAND\fR [\fIoptions\fR] [\fIRUN\fR ...]
"""
ABOUT = r""".SH DESCRIPTION
Reads a run's folder or its
.IR metrics.h5 ,
written by
.BR trireme (1),
and shows the measurements.
The run may still be going on.
Needs Python 3 with h5py, NumPy and Matplotlib.
"""
AROUND = r""".SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The data can't be shown; one line on standard error says why.
.TP
.B 2
The command line is wrong.
.SH EXAMPLES
.EX
trireme\-plot loss runs/a runs/b \-\-output ab.pdf
.EE
.SH SEE ALSO
.BR trireme (1)
"""


def plain(text):
    """Escapes text so that roff prints it unchanged, in short lines."""
    words = text.replace("\\", r"\e").replace("-", r"\-").split()
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > 70:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(re.sub(r"^(?=[.'])", r"\\&", line) for line in lines)


def sentence(text):
    text = plain(text)
    return text if text.endswith(".") else text + "."


def value_name(action):
    if action.choices is not None:
        return "|".join(str(choice) for choice in action.choices)
    return action.metavar or action.dest.upper()


def argument(action):
    """An entry of a list: names, value and help."""
    value = "" if action.nargs == 0 else rf"\fI{plain(value_name(action))}\fR"
    more = " ..." if action.nargs in ("+", "*") else ""
    names = ", ".join(rf"\fB{plain(name)}\fR" for name in action.option_strings)
    # argparse fills in these fields when it prints help.
    text = (action.help or "") % {**vars(action), "prog": "trireme-plot"}
    return f".TP\n{names}{' ' if names and value else ''}{value}{more}\n{sentence(text)}\n"


def page(parser, version, date):
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    general = [a for a in parser._actions if a is not commands]
    out = f'.TH TRIREME\\-PLOT 1 {date} "Trireme {version}" "User Commands"\n'
    summary = parser.description[0].lower() + parser.description[1:].rstrip(".")
    out += f".SH NAME\ntrireme\\-plot \\- {plain(summary)}\n"
    out += SYNOPSIS + ABOUT + ".SH COMMANDS\n"
    for name, command in commands.choices.items():
        out += f".SS {plain(name)}\n{sentence(command.description or '')}\n"
        out += "".join(argument(action) for action in command._actions)
    out += ".SH OPTIONS\n" + "".join(argument(action) for action in general)
    return out + AROUND


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("analysis", "version", "date", "output"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    sys.dont_write_bytecode = True
    sys.path.insert(0, options.analysis)
    from trireme_analysis import command

    with mock.patch.object(argparse.ArgumentParser, "parse_args", lambda self, *_: self):
        described = command.parse([])
    text = page(described, options.version, options.date)
    Path(options.output).write_text(text, encoding="utf-8")


main()
