#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes src/tokenizer/unicode_runs.cpp: the general category of every code point, of the
# version of Unicode that tokenizers and tiktoken know. Needs unicodedata2==16.0.0.
import itertools
import sys
from pathlib import Path

import unicodedata2

VERSION = "16.0.0"
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp "
              "Cc Cf Cs Co Cn").split()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcd"
TARGET = Path(__file__).resolve().parents[3] / "src/tokenizer/unicode_runs.cpp"
HEAD = """\
// SPDX-License-Identifier: Apache-2.0
// The general category of every code point, as runs: see decode_runs() in unicode.cpp. Made by
// test/support/tokenizers/make_unicode.py from Unicode {version}.
#include "unicode_runs.hpp"

namespace trireme {{

const std::string_view kUnicodeRuns =
"""


def main():
    if unicodedata2.unidata_version != VERSION:
        sys.exit(f"make_unicode.py: needs unicodedata2=={VERSION}")
    runs = []
    categories = (unicodedata2.category(chr(c)) for c in range(0x110000))
    for category, run in itertools.groupby(categories):
        count = sum(1 for _ in run)
        runs.append(LETTERS[CATEGORIES.index(category)] + (str(count) if count > 1 else ""))
    lines = [""]
    for run in runs:
        if len(lines[-1]) + len(run) > 88:
            lines.append("")
        lines[-1] += run
    text = "\n".join(f'    "{line}"' for line in lines)
    TARGET.write_text(HEAD.format(version=VERSION) + text + ";\n\n}  // namespace trireme\n")


main()
