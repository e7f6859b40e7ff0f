# SPDX-License-Identifier: Apache-2.0
# The plots of runs that trireme-plot knows, a module each. A module has SUMMARY (one line for
# --help), add_options(parser) and draw(runs, **options): {name: Run} to a figure. It may have
# text(runs, **options), which is printed before.
from . import compare, loss, memory, phases, scaling, throughput, timeline

PLOTS = {
    "loss": loss,
    "throughput": throughput,
    "phases": phases,
    "memory": memory,
    "scaling": scaling,
    "timeline": timeline,
    "compare": compare,
}
