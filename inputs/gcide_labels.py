#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes definitions of the GCIDE dictionary, each with its word's part of speech, as JSON lines
{"text", "label"} for `trireme prepare --label-key label`. The order depends on nothing else.

  gcide_labels.py OUTPUT.jsonl [gcide.dict.dz]    # by default that of Debian's dict-gcide
"""
import gzip
import json
import random
import re
import sys
from pathlib import Path

DEBIAN = "/usr/share/dictd/gcide.dict.dz"
LABELS = {"n.": "noun", "v. t.": "transitive verb", "v. i.": "intransitive verb",
          "a.": "adjective", "adv.": "adverb"}
# `Word \Pro*nun"ci*a`tion\, v. t. [L. ...]`
HEAD = re.compile(r"(\S[^\\]*?) \\[^\\]+\\,\s*(" + "|".join(map(re.escape, LABELS))
                  + r")(?=[\s\[;(]|$)")
MOST = 400  # characters of a definition


def entries(lines):
    """Lists of lines. A line that does not begin with a space begins an entry."""
    entry = []
    for line in lines:
        if line[:1].strip() and entry:
            yield entry
            entry = []
        entry.append(line)
    yield entry


def definition(text):
    """What stands behind the word, its sound and its part of speech."""
    before = None
    while before != text:  # notes in brackets, also one within another
        before = text
        text = re.sub(r"\[[^\[\]]*\]", " ", text)
    text = re.sub(r"--[A-Z][\w. ]*", " ", text)  # who is quoted
    text = re.split(r"--\s*\S*[\"`*]", text)[0]  # words that this one makes, with their own parts
    text = " ".join(text.translate(str.maketrans("", "", "{}")).split())
    begin = re.search(r"(?:^|[;.,:)] ?|\s)(?:1\. )?(?=(?:\([^)]*\) )?[A-Z][a-z]* )", text)
    return text[begin.end():][:MOST] if begin else ""


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = Path(sys.argv[2] if len(sys.argv) == 3 else DEBIAN)
    if not source.exists():
        sys.exit(f"{source}: there is no such file; apt install dict-gcide, or name another copy")
    found = {}
    with gzip.open(source, "rt", encoding="utf-8", errors="replace") as lines:
        for entry in entries(lines):
            text = "".join(entry)
            head = HEAD.match(text)
            if not head:
                continue
            meaning = definition(text[head.end():])
            if len(meaning) < 20:
                continue
            found[f"{head[1].lower()}: {meaning}"] = LABELS[head[2]]
    rows = sorted(found.items())
    random.Random(0).shuffle(rows)
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        for text, label in rows:
            out.write(json.dumps({"text": text, "label": label}) + "\n")
    counts = ", ".join(f"{n} {name}s" for name, n in
                       sorted(((name, list(found.values()).count(name)) for name in
                               LABELS.values()), key=lambda pair: -pair[1]))
    print(f"{sys.argv[1]}: {len(rows)} definitions: {counts}")


if __name__ == "__main__":
    main()
