# SPDX-License-Identifier: Apache-2.0
# The command line of trireme-plot. Errors that a user can mend give one line on stderr and exit
# code 1.
import argparse
import sys
import warnings
from pathlib import Path

from . import live, page, style, terminal, weights
from .plots import PLOTS
from .run import RunError, RunWarning, open_runs

# Commands that do more than plot runs: SUMMARY, add_options(parser) and main(options), which
# returns the text to print at the end.
OTHERS = {"weights": weights, "watch": live, "report": page}


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="trireme-plot", description="Shows what a run has measured and saved."
    )
    commands = parser.add_subparsers(dest="plot", metavar="COMMAND", required=True)
    for name, plot in PLOTS.items():
        command = commands.add_parser(name, help=plot.SUMMARY, description=plot.SUMMARY)
        command.add_argument("runs", nargs="+", metavar="RUN", help="run folder or metrics.h5")
        where = f"{name}.png in the run's folder; of several runs, here; other settings of " \
            "--by or --iteration add theirs to the name"
        style.add_file_options(command, where)
        plot.add_options(command)
    for name, other in OTHERS.items():
        command = commands.add_parser(name, help=other.SUMMARY, description=other.SUMMARY)
        other.add_options(command)
    return parser.parse_args(arguments)


def plot_options(options):
    """The plot's own options as keywords of its draw()."""
    return {
        name: value
        for name, value in vars(options).items()
        if name not in ("plot", "runs", "output", "dpi", "chrome")
    }


def file_name(options):
    """PLOT.png; other choices than the defaults have files of their own, PLOT-by-rank.png."""
    name, by = options.plot, getattr(options, "by", None)
    if by not in (None, "iteration", "stage"):  # the defaults
        name += f"-by-{by}"
    if getattr(options, "iteration", None) is not None:
        name += f"-{options.iteration}"
    return f"{name}.png"


def draw_plot(options):
    """Writes the files of a plot's command, and returns their names, one a line."""
    plot, keywords = PLOTS[options.plot], plot_options(options)
    runs = open_runs(options.runs)
    written = []
    if getattr(options, "chrome", None):
        plot.write_files(runs, options.chrome, **keywords)
        written.append(options.chrome)
    if options.output is not None or not written:
        figure = plot.draw(runs, **keywords)
        output = options.output
        if output is None:
            first = next(iter(runs.values()))
            output = (first.folder if len(runs) == 1 else Path()) / file_name(options)
        style.save(figure, output, options.dpi)
        written.append(output)
    if hasattr(plot, "text"):
        written.insert(0, plot.text(runs, **keywords))
    return "\n".join(map(str, written))


def main(arguments=None):
    terminal.adapt_streams()
    options = parse(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("always", RunWarning)
        warnings.showwarning = _warning_printer()
        try:
            if options.plot in PLOTS:
                _print(draw_plot(options))
            else:
                _print(OTHERS[options.plot].main(options))
            sys.stdout.flush()
        except BrokenPipeError:
            terminal.close_quietly()
            return 141  # as the shell says of SIGPIPE
        except (RunError, OSError, ValueError) as error:
            print(f"trireme-plot: {terminal.printable_lines(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


def _print(text):
    print(terminal.printable_lines(text))


def _warning_printer():
    """A function for warnings.showwarning that prints each text once."""
    said = set()

    def show(message, category, *_):
        if issubclass(category, RunWarning) and str(message) not in said:
            said.add(str(message))
            text = terminal.printable_lines(message)
            print(f"trireme-plot: warning: {text}", file=sys.stderr)

    return show
