# SPDX-License-Identifier: Apache-2.0
# The command `watch`: shows a run's state while the run writes, in the terminal or as a
# picture.
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from . import style, terminal
from .plots import loss
from .run import PHASES, Run, RunError
from .series import duration_text, in_bins, median

SUMMARY = "a run's state, live: on the terminal, and as a picture that is replaced"
BARS = "▁▂▃▄▅▆▇█"
CLEAR = "\x1b[H\x1b[J"  # go to the top, and erase everything below
RECENT = 50  # number of steps whose median is shown as a rate


def add_options(parser):
    parser.add_argument("run", metavar="RUN", help="run folder or metrics.h5")
    parser.add_argument(
        "--interval", type=float, default=5, metavar="SECONDS", help="default: 5"
    )
    parser.add_argument("--once", action="store_true", help="shows the present state, and ends")
    parser.add_argument(
        "--png", type=Path, metavar="FILE", help="draws the loss to this file each time too"
    )


def main(options):
    if not options.interval > 0:
        raise RunError(f"--interval is {options.interval:g} s; it's above 0")
    watch(options.run, options.interval, options.once, options.png)
    return f"wrote {options.png}" if options.png else "end of watching"


def watch(place, interval=5.0, once=False, png=None, out=None):
    """Shows the run at `place` every `interval` seconds until the run is done. A run is done
    when its last iteration is recorded and the file no longer changes. Waits for a run that
    doesn't exist yet, and retries while the file is being replaced. If `out` is a terminal,
    the screen is redrawn."""
    out = sys.stdout if out is None else out
    seen, changed = None, time.monotonic()
    while True:
        run, trouble = _open(place, once)
        state = _state(run)
        settled = run is not None and state == seen
        if not settled:
            seen, changed = state, time.monotonic()
            if png is not None and run is not None and len(run.train.get("loss", ())):
                style.save(loss.draw({run.name: run}), png)
        quiet = time.monotonic() - changed
        _print(out, screen(run, quiet) if run else f"{trouble}\nwaiting for it")
        if once or (settled and is_done(run)):
            return
        time.sleep(interval)


def _open(place, once):
    """(Run, ""), or (None, reason) if the run can't be read now."""
    try:
        return Run(place), ""
    except RunError as error:
        if once:
            raise
        return None, str(error)


def _state(run):
    """A value that changes whenever the run has written rows, also of evaluations."""
    if run is None:
        return None
    groups = (run.train, run.valid, run.test, run.checkpoints)
    # Compare as text, since NaN does not equal itself.
    return repr([[(len(a), a[-1:].tolist()) for a in group.values()] for group in groups])


def is_done(run):
    """Whether the deck's last iteration is recorded."""
    return len(run.train.get("iteration", ())) > 0 and run.train["iteration"][-1] >= total(run)


def total(run):
    """Iterations that the deck asks for; infinite if the deck doesn't say."""
    try:
        return run.setting("train_iters")
    except RunError:
        return float("inf")


def sparkline(values, width):
    """The finite values as at most `width` bar characters, scaled from smallest to largest; a
    gap stands for a value that isn't finite."""
    values = in_bins(values, width)
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return " " * len(values)
    low, reach = finite.min(), np.ptp(finite) or 1.0
    heights = np.where(np.isfinite(values), (values - low) / reach * (len(BARS) - 1), -1)
    return "".join(BARS[round(h)] if h >= 0 else " " for h in heights)


def _print(out, text):
    text = terminal.printable_lines(text)
    if terminal.redraws(out):
        # A line that wraps would move the rest of the screen.
        width = shutil.get_terminal_size((80, 24)).columns
        text = CLEAR + "\n".join(line[: max(width, 1)] for line in text.split("\n"))
    out.write(text + "\n")
    out.flush()


def screen(run, quiet=0.0, width=None):
    """The text that `watch` shows of a Run. `quiet`: seconds since the run last changed."""
    width = shutil.get_terminal_size((80, 24)).columns if width is None else width
    if len(run.train.get("iteration", ())) == 0:
        return f"{style.short(run.name)}: nothing logged yet"
    iteration, loss_, step = run.need("train", "iteration", "loss", "step_seconds")
    last = int(iteration[-1])
    bar = max(1, min(60, width - 24))
    lines = [f"{style.short(run.name)}  {_progress(run, last, step)}"]
    lines.append(f"loss       {loss_[-1]:<12.4f} {sparkline(loss_, bar)}")
    for label, name, form in (
        ("grad norm", "grad_norm", "{:<12.3f}"),
        ("lr", "learning_rate", "{:<12.3e}"),
        ("tokens/s", "tokens_per_second", "{:<12.5g}"),
    ):
        if name in run.train:
            values = np.asarray(run.train[name], dtype=float)
            lines.append(f"{label:<10} {form.format(values[-1])} {sparkline(values, bar)}")
    if "tflops_per_rank" in run.train:
        rate = median(run.train["tflops_per_rank"][-RECENT:], 0)
        lines.append(f"TFLOP/s    {rate:.4g} per rank")
    lines += _phases(run, width)
    for group in ("valid", "test"):
        series = getattr(run, group)
        if len(series.get("loss", ())):
            at, value = series["iteration"][-1], series["loss"][-1]
            lines.append(f"{group:<10} {value:.4f} at iteration {at}")
    if len(run.checkpoints.get("iteration", ())):
        lines.append(f"saved      at iteration {run.checkpoints['iteration'][-1]}")
    if quiet >= 1:
        lines.append(f"nothing new for {duration_text(quiet)}")
    return "\n".join(lines)


def _progress(run, last, step):
    whole = total(run)
    if not np.isfinite(whole):
        return f"iteration {last}"
    if last >= whole:
        return f"iteration {last}/{whole}, done in {duration_text(step.sum())}"
    left = (whole - last) * median(step[-RECENT:], 0)
    return f"iteration {last}/{whole} ({last / whole:.0%}), {duration_text(left)} left"


def _phases(run, width):
    """One line with each phase's share of recent steps; empty without measurements."""
    if any(phase not in run.train for phase in PHASES):
        return []
    seconds = {phase: float(np.sum(run.train[phase][-RECENT:])) for phase in PHASES}
    whole = float(np.sum(run.train["step_seconds"][-RECENT:]))
    shares = [
        f"{phase.replace('_', ' ')} {value / whole:.0%}"
        for phase, value in sorted(seconds.items(), key=lambda item: -item[1])
        if whole > 0 and value / whole >= 0.01
    ]
    line = ", ".join(shares)
    return [f"phases     {line if len(line) <= width - 11 else line[: width - 12] + '…'}"]
