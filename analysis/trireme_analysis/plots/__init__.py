# SPDX-License-Identifier: Apache-2.0
# The plots that trireme-plot knows, one module each. A module has SUMMARY (one line for
# --help), add_options(parser) and draw(runs, **options), which plots {name: Run}. A module may
# have text(runs, **options), which is printed first.
from . import (classes, compare, confusion, loss, memory, optimizer, phases, scaling,
               throughput, timeline)

PLOTS = {
    "loss": loss,
    "optimizer": optimizer,
    "throughput": throughput,
    "phases": phases,
    "memory": memory,
    "scaling": scaling,
    "timeline": timeline,
    "classes": classes,
    "confusion": confusion,
    "compare": compare,
}
