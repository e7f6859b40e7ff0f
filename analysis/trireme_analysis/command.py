# SPDX-License-Identifier: Apache-2.0
# The command line of trireme-plot. Exit code 1 and one line on stderr for what a user can mend.
import argparse
import sys
from pathlib import Path

from . import style
from .plots import PLOTS
from .run import RunError, open_runs


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="trireme-plot", description="Draws what a run has measured, as a picture file."
    )
    commands = parser.add_subparsers(dest="plot", metavar="PLOT", required=True)
    for name, plot in PLOTS.items():
        command = commands.add_parser(name, help=plot.SUMMARY, description=plot.SUMMARY)
        command.add_argument("runs", nargs="+", metavar="RUN", help="run folder or metrics.h5")
        command.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="picture to write; the suffix tells the kind (default: "
            f"{name}.png in the run's folder; of several runs, here)",
        )
        plot.add_options(command)
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    try:
        runs = open_runs(options.runs)
        figure = PLOTS[options.plot].draw(runs, options)
        output = options.output
        if output is None:
            first = next(iter(runs.values()))
            folder = first.path.parent if len(runs) == 1 else Path()
            output = folder / f"{options.plot}.png"
        style.save(figure, output)
    except (RunError, OSError, ValueError) as error:
        print(f"trireme-plot: {error}", file=sys.stderr)
        return 1
    print(output)
    return 0
