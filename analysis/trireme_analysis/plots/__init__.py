# SPDX-License-Identifier: Apache-2.0
# The plots that trireme-plot knows, a module each. A module has SUMMARY (one line for --help),
# add_options(parser) and draw(runs, options): {name: Run} and parsed options to a figure.
from . import loss, phases

PLOTS = {"loss": loss, "phases": phases}
