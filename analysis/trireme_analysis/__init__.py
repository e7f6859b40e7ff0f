# SPDX-License-Identifier: Apache-2.0
"""Reads and draws the HDF5 files that Trireme writes. Needs h5py, NumPy and Matplotlib.

    from trireme_analysis import Run, draw_loss, open_runs
    Run("runs/a").valid["loss"]                      # arrays
    draw_loss(open_runs(["runs/a", "runs/b"]), by="tokens").savefig("ab.pdf")

Each draw_ function takes {name: Run} and returns a Matplotlib figure. draw_weights takes a
Checkpoint or a Difference. Data that can't be drawn raise RunError, whose text is one line that
says why.
"""
from .checkpoint import Checkpoint, Difference
from .live import watch
from .page import Report
from .plots.compare import draw as draw_compare
from .plots.loss import draw as draw_loss
from .plots.memory import draw as draw_memory
from .plots.optimizer import draw as draw_optimizer
from .plots.phases import draw as draw_phases
from .plots.scaling import draw as draw_scaling
from .plots.scaling import find_scalings
from .plots.throughput import draw as draw_throughput
from .plots.timeline import draw as draw_timeline
from .run import PHASES, Run, RunError, RunWarning, open_runs
from .spans import chrome_trace, traced_step
from .tensors import histogram, norms, singular_values
from .weights import draw as draw_weights

__all__ = [
    "PHASES",
    "Checkpoint",
    "Difference",
    "Report",
    "Run",
    "RunError",
    "RunWarning",
    "chrome_trace",
    "draw_compare",
    "draw_loss",
    "draw_memory",
    "draw_optimizer",
    "draw_phases",
    "draw_scaling",
    "draw_throughput",
    "draw_timeline",
    "draw_weights",
    "find_scalings",
    "histogram",
    "norms",
    "open_runs",
    "singular_values",
    "traced_step",
    "watch",
]
