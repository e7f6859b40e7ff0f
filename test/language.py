#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Checks the first two language rules of src/README.md: how a sentence may begin, how long it
# may be, and how long a parenthesis. `language.py --self-test` breaks each rule on purpose.
import argparse
import re
import sys
from pathlib import Path

MAX_WORDS = 25  # in a sentence
MAX_INSIDE = 5  # in a parenthesis
OPENERS = ("Of", "By", "As", "That", "Nothing", "The same")
MIN_MESSAGE = 4  # a string literal with fewer words is no message

TOPS = ("README.md", "analysis", "include", "inputs", "jobs", "src", "test")
CODE = {".cpp", ".hpp", ".cu", ".cuh", ".c"}

OPENER = re.compile(rf"(?:{'|'.join(OPENERS)})\b(?!-)", re.IGNORECASE)
# A sentence ends before white space and whatever can begin the next one.
END = re.compile(r"[.!?][\"')\]*_]*(?=\s+[\"'(\[*_]*[A-Z0-9#]|\s*$)")
ABBREVIATION = re.compile(r"(?:^|[\s(])(?:e\.g|i\.e|cf|vs|etc|Fig|No|[A-Z])\.$")
WORD = re.compile(r"\S*[^\W_]\S*")


class Text:
    """A run of prose: a paragraph, an item, a cell, a comment, or a message."""

    def __init__(self, line, text, cell=False):
        self.line = line
        self.text = text
        self.cell = cell  # a table's, or what a semicolon ends there: may be a fragment


# --- what both rules are about ---------------------------------------------------------------


def keep_lines(replacement):
    """For re.sub: the replacement, with the newlines of what it replaces."""
    return lambda match: replacement + "\n" * match.group().count("\n")


def plain(text):
    """The text without markup: a code span, a formula or an address counts as one word."""
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", keep_lines("#code"), text, flags=re.DOTALL)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", keep_lines(""), text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"#\1", text)
    text = re.sub(r"<?\bhttps?://[^\s>)]+>?", "#address", text)
    text = re.sub(r"</?[a-z]+[^>]*>", "", text)
    return re.sub(r"\*\*|(?<!\w)[*_](?=\w)|(?<=[\w.])[*_](?!\w)", "", text)


def sentences(text):
    """[(offset, sentence)] of a plain text."""
    found, begin = [], 0
    for match in END.finditer(text):
        if ABBREVIATION.search(text[begin : match.start() + 1]):
            continue
        found.append((begin, text[begin : match.end()]))
        begin = match.end()
    found.append((begin, text[begin:]))
    return [(at + len(s) - len(s.lstrip()), s.strip()) for at, s in found if s.strip()]


def parentheses(sentence):
    """What stands between each pair of parentheses, inner ones included."""
    open_at = []
    for at, character in enumerate(sentence):
        if character == "(":
            open_at.append(at)
        elif character == ")" and open_at:
            yield sentence[open_at.pop() + 1 : at]


def faults(sentence, cell=False):
    """What the rules say against one plain sentence."""
    start = sentence.lstrip("\"'([*_# ")
    opener = OPENER.match(start)
    if opener and not (cell and start[0].islower()):
        yield f"begins with '{opener.group()}'"
    count = len(WORD.findall(sentence))
    if count > MAX_WORDS:
        yield f"{count} words, at most {MAX_WORDS}"
    for inside in parentheses(sentence):
        count = len(WORD.findall(inside))
        if count > MAX_INSIDE:
            yield f"parenthesis of {count} words, at most {MAX_INSIDE}"


def check_texts(texts):
    """[(line, fault, sentence)]"""
    found = []
    for text in texts:
        words = plain(text.text)
        for offset, sentence in sentences(words):
            line = text.line + words[:offset].count("\n")
            shown = " ".join(sentence.split())
            found += [(line, fault, shown) for fault in faults(sentence, text.cell)]
    return found


# --- pages -----------------------------------------------------------------------------------

ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")


def page_texts(page):
    """Paragraphs, items and cells of a Markdown page; no headings, code blocks or remarks."""
    page = re.sub(r"<!--.*?-->", keep_lines(""), page, flags=re.DOTALL)
    texts, block, begin, fence, code = [], [], 0, None, False

    def flush():
        if block:
            texts.append(Text(begin, "\n".join(block)))
            block.clear()

    for number, line in enumerate(page.split("\n"), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if fence or mark:
            fence = (None if mark and mark[1] == fence else fence) if fence else mark[1]
            flush()
        elif not line.strip():
            flush()
        elif line.startswith("    ") and (code or not block):
            code = True
            continue
        elif line.startswith("#"):
            flush()
        elif line.lstrip().startswith("|"):
            flush()
            cells = re.split(r"(?<!\\)\||;\s", line.strip().strip("|"))
            texts += [Text(number, cell, True) for cell in cells if WORD.search(cell)]
        else:
            line = re.sub(r"^\s*>\s?", "", line)
            if ITEM.match(line):
                flush()
                line = ITEM.sub("", line, count=1)
            begin = begin if block else number
            block.append(line.strip())
        code = code and not line.strip()
    flush()
    return texts


# --- sources ---------------------------------------------------------------------------------

TOKEN = re.compile(
    r'R"(?P<mark>[^ ()\\\n]*)\((?P<raw>.*?)\)(?P=mark)"'
    r'|"(?P<string>(?:\\.|[^"\\\n])*)"'
    r"|'(?:\\.|[^'\\\n])+'"
    r"|//(?P<comment>[^\n]*)"
    r"|/\*(?P<block>.*?)\*/"
    r"|(?P<include>\#[ \t]*include[^\n]*)"
    r"|\b\d[\w.']*|\w+|[^\s\w]",
    re.DOTALL,
)
NO_PROSE = re.compile(r"\s*(SPDX-|clang-format|NOLINT|---|===)")


def comment_texts(comments):
    """[(line, column, alone on its line, text)] as texts: aligned neighbours are one."""
    texts, block, begin, last = [], [], 0, (-1, 0)

    def flush():
        if block:
            texts.append(Text(begin, "\n".join(block)))
            block.clear()

    for line, column, alone, text in comments:
        text = re.sub(r"^[/!]*<?", "", text)
        if (line - 1, column) != last or not alone:
            flush()
        if not text.strip() or NO_PROSE.match(text) or re.match(r" {3,}", text):
            flush()  # an empty line, a ruler, or something laid out: usage, a formula, a table
        else:
            if ITEM.match(text) or re.match(r"\s*[@\\]\w+", text):
                flush()
                text = re.sub(r"^\s*[@\\](t?param(\[\S+\])?\s+\w+|\w+)", "", ITEM.sub("", text))
            begin = begin if block else line
            block.append(text.strip())
        last = (line, column)
    flush()
    return texts


def raw_texts(line, text):
    """Paragraphs of a raw string, which may be a manual page's; of a script none."""
    if text.lstrip().startswith("#"):
        return []
    rows = [re.sub(r"^\..*|\\f.", "", row) for row in text.split("\n")]
    texts, begin = [], 0
    for end in [i for i, row in enumerate(rows) if not row.strip()] + [len(rows)]:
        if begin < end:
            texts.append(Text(line + begin, "\n".join(rows[begin:end])))
        begin = end + 1
    return texts


def source_texts(source, messages=True):
    """Comments and, with `messages`, string literals; those that C++ joins are one."""
    comments, strings, last = [], [], None
    for match in TOKEN.finditer(source):
        line = source.count("\n", 0, match.start()) + 1
        before = source[source.rfind("\n", 0, match.start()) + 1 : match.start()]
        alone = not before.strip()
        if match["comment"] is not None:
            comments.append((line, len(before), alone, match["comment"]))
        elif match["block"] is not None:
            rows = match["block"].split("\n")
            comments += [(line + i, len(before), alone or i > 0, re.sub(r"^\s*\*", "", row))
                         for i, row in enumerate(rows)]
        elif match["raw"] is not None:
            strings += raw_texts(line, match["raw"])
            last = None
        elif match["string"] is not None:
            text = unescape(match["string"])
            if last == "string":
                strings[-1].text += text
            else:
                strings.append(Text(line, text))
            last = "string"
        else:
            last = None
    kept = [s for s in strings if is_message(s.text)] if messages else []
    return sorted(comment_texts(comments) + kept, key=lambda text: text.line)


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": " ", "t": " "}.get(m[1], m[1]), text)


def is_message(text):
    words = text.split()
    return len(words) >= MIN_MESSAGE and sum(bool(re.search("[a-z]{2}", w)) for w in words) > 2


# --- files -----------------------------------------------------------------------------------


def files_of(root, kind):
    tops = {"headers": ("include",), "sources": ("src",)}.get(kind, TOPS)
    suffixes = {".md"} if kind == "pages" else CODE
    for top in tops:
        path = root / top
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.suffix in suffixes and file.is_file():
                yield file


def check(root, kinds, only=()):
    """All that is wrong, a line each. `only`: files and folders below root, or all."""
    lines = []
    chosen = [(root / path).resolve() for path in only]
    for kind in kinds:
        for file in files_of(root, kind):
            path = file.resolve()
            if chosen and not any(path == c or c in path.parents for c in chosen):
                continue
            text = file.read_text(encoding="utf-8")
            pages = kind == "pages"
            texts = page_texts(text) if pages else source_texts(text, kind == "sources")
            lines += [f"{file.relative_to(root)}:{line}: {fault}: {sentence}"
                      for line, fault, sentence in check_texts(texts)]
    return lines


# --- self-test -------------------------------------------------------------------------------

LONG = " ".join(["word"] * 26)
PAGES = [  # a page; the line and the beginning of each fault
    ("# Of no concern\n\nA sentence. Another one, of two.\n", []),
    ("Of ranks that hold one array, one writes.\n", [(1, "begins with 'Of'")]),
    ("A rank writes.\nThe same rank reads.\n", [(2, "begins with 'The same'")]),
    ("It reads (by rank). By default it writes.\n", [(1, "begins with 'By'")]),
    ("- An item\n- as another\n", [(2, "begins with 'as'")]),
    ("1. **Nothing** is left.\n", [(1, "begins with 'Nothing'")]),
    ("> That is it.\n", [(1, "begins with 'That'")]),
    ("Asia and Offload begin otherwise. As-is too.\n", []),
    ("| core | nothing |\n|---|---|\n| ops | Nothing. |\n", [(3, "begins with 'Nothing'")]),
    (f"{LONG}\n", [(1, "26 words")]),
    (f"A first.\nA {LONG[5:]}\n", [(2, "26 words")]),
    (f"| a | {LONG} |\n", [(1, "26 words")]),
    (f"Few, e.g. Dutch. A {LONG[10:]}.\n", []),
    (f"`{LONG}` is one word, [{LONG[:30]}](https://a.b/{LONG[:4]}) are some.\n", []),
    (f"```\n{LONG}\n```\n\n    {LONG}\n\n    {LONG}\n\n<!-- {LONG} -->\n", []),
    (f"A list:\n\n    code {LONG}\nBy no means.\n", [(4, "begins with 'By'")]),
    (f"| {LONG[:60]}; {LONG[:60]} |\n", []),
    (f"Read [this](a.md). [That page](b.md) {LONG[:99]}.\n", [(1, "begins with 'That'")]),
    ("Five (one two three four five) fit.\n", []),
    ("Six (one two three\nfour five six) don't.\n", [(1, "parenthesis of 6")]),
    ("An inner (a (one two three four five six)) counts.\n", [(1, "paren"), (1, "paren")]),
    ("Figures `a b c (d e f g h i)` and 1 + 2 − 3 count little.\n", []),
]
SOURCES = [
    ("// SPDX-License-Identifier: Apache-2.0\n// What it is for.\nint f();  // a remark\n", []),
    ("/// Reads a file.\n/// Of two, the first.\n", [(2, "begins with 'Of'")]),
    ("/// @param a of all\n/// @return nothing\n", [(1, "begins with 'of'"), (2, "begins")]),
    (f"int a;  // {LONG[:60]}\nint b;  // {LONG[:60]}\n", []),
    (f"int a;  // {LONG[:60]}\n        // {LONG[:69]}\n", [(1, "26 words")]),
    (f"//   laid out: {LONG}\n\n// --- {LONG}\n", []),
    ("/* By\n * hand */\n", [(1, "begins with 'By'")]),
    (f'auto s = "{LONG[:60]}"\n  "{LONG[60:]} and more";\n', [(1, "2")]),
    (f'#include "{LONG}"\nauto s = "a b", t = "{LONG[:60]}"; u = "{LONG[:60]}";\n', []),
    ("auto s = \"http://of\"; auto c = '\"'; n = 1'000; // of it\n", [(1, "begins with 'of'")]),
    ('throw Error("of {} ranks none is left");\n', [(1, "begins with 'of'")]),
    ("int a;  ///< of it\n/// Others.\n/// By it.\n", [(1, "begins"), (3, "begins")]),
    (f'auto s = R"(\n.PP\nA page.\n{LONG}\n)";\n', [(3, "28")]),
    (f'auto s = R"(# {LONG})";\n', []),
]


def self_test():
    """Problems of this script: a fault that it misses, or sees where there is none."""
    wrong = []
    for cases, texts_of in ((PAGES, page_texts), (SOURCES, source_texts)):
        for text, expected in cases:
            found = [(line, fault) for line, fault, _ in check_texts(texts_of(text))]
            fits = len(found) == len(expected) and all(
                a[0] == b[0] and a[1].startswith(b[1]) for a, b in zip(found, expected))
            if not fits:
                wrong.append(f"{text!r} should give {expected}, gave {found}")
    if any(check_texts(source_texts('auto s = "of all that is";\n', messages=False))):
        wrong.append("a header's strings are read")
    return wrong


def main():
    parser = argparse.ArgumentParser(description="Checks the language rules of src/README.md.")
    parser.add_argument("--pages", action="store_true", help="Markdown pages (default)")
    parser.add_argument("--headers", action="store_true", help="comments of include/")
    parser.add_argument("--sources", action="store_true", help="comments and messages of src/")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--self-test", action="store_true", help="checks this script")
    parser.add_argument("only", nargs="*", help="files and folders, by default all")
    arguments = parser.parse_args()
    if arguments.self_test:
        problems = self_test()
    else:
        kinds = [k for k in ("pages", "headers", "sources") if getattr(arguments, k)]
        problems = check(arguments.root, kinds or ["pages"], arguments.only)
    for line in problems:
        print(line, file=sys.stderr)
    if problems:
        print(f"language: {len(problems)} faults", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
