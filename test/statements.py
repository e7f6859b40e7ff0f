#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Two rules of C++ that no formatter holds: functions are short, and a body that is not on the
# line of its condition has braces. `statements.py --fix FILE...` adds the braces that are
# missing; clang-format puts them in their place.
import re
import sys
from pathlib import Path

MAX_FUNCTION = 60  # lines from a function's opening brace to its closing one

# What is no code: comments, literals, lines of the preprocessor.
NO_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/
    |R"([^()\s\\]{0,16})\(.*?\)\1"
    |"(?:\\.|[^"\\\n])*"
    |(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'
    |^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
HEAD = re.compile(r"\b(if\s+constexpr|if|for|while|switch|else|do|try|catch)\b")
# The end of what stands before a function's body.
SIGNATURE = re.compile(
    r"\)\s*(?:const\b\s*|override\b\s*|final\b\s*|mutable\b\s*"
    r"|noexcept\b(?:\s*\([^()]*\))?\s*|->\s*[\w:<>,\s&*]+)*$"
)
STATEMENT = re.compile(r"(else\s+)?(if|for|while|switch|catch|do)\b")


def code_of(text):
    """The text with blanks for all that is no code; every place stays the same."""
    return NO_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def pairs_of(code):
    """{the place of a bracket: that of the one that closes it}"""
    pairs = {}
    opened = []
    for bracket in re.finditer(r"[()\[\]{}]", code):
        if bracket.group() in "([{":
            opened.append(bracket.start())
        elif opened:
            pairs[opened.pop()] = bracket.start()
    return pairs


def skip_blanks(code, at):
    while at < len(code) and code[at].isspace():
        at += 1
    return at


def word_after(code, at, word):
    """The place of `word` if it follows, or None."""
    at = skip_blanks(code, at)
    return at if re.match(word + r"\b", code[at : at + len(word) + 1]) else None


def statement_end(code, pairs, at):
    """The place after the statement that begins at `at`."""
    at = skip_blanks(code, at)
    if code[at] == "{":
        return pairs[at] + 1
    head = HEAD.match(code, at)
    if head:
        body = skip_blanks(code, head.end())
        if code[body] == "(":
            body = pairs[body] + 1
        end = statement_end(code, pairs, body)
        word = head.group().split()[0]
        if word == "do":
            return code.index(";", pairs[code.index("(", end)]) + 1
        follower = {"if": "else", "try": "catch", "catch": "catch"}.get(word)
        follows = word_after(code, end, follower) if follower else None
        if follows is None:
            return end
        return statement_end(code, pairs, follows + (len("else") if word == "if" else 0))
    while code[at] != ";":
        at = pairs[at] + 1 if code[at] in "([{" else at + 1
    return at + 1


def bodies_without_braces(text):
    """[(the place of `if`, `for`, `while` or `else`, its body's begin, its body's end)]

    Only those that should have braces: that are not on one line, or have a part with `else`.
    """
    code = code_of(text)
    pairs = pairs_of(code)
    found = []
    for head in HEAD.finditer(code):
        word = head.group().split()[0]
        after = skip_blanks(code, head.end())
        if word == "else":
            if code[after] != "{" and not re.match(r"if\b", code[after : after + 3]):
                found.append((head.start(), after, statement_end(code, pairs, after)))
        elif word in ("if", "for", "while") and code[after] == "(":
            before = pairs[after] + 1
            body = skip_blanks(code, before)
            if code[body] in "{;":  # ";": the end of do … while
                continue
            end = statement_end(code, pairs, body)
            branches = word == "if" and word_after(code, end, "else") is not None
            if branches or "\n" in code[before:end]:
                found.append((head.start(), body, end))
    return found


def long_functions(text):
    """[(the place of its body, its number of lines)], functions of functions with them."""
    code = code_of(text)
    pairs = pairs_of(code)
    found = []
    begin = 0  # of what stands before the next brace
    for mark in re.finditer(r"[;{}]", code):
        head = code[begin : mark.start()].strip()
        begin = mark.end()
        if mark.group() != "{" or not SIGNATURE.search(head) or STATEMENT.match(head):
            continue
        lines = code.count("\n", mark.start(), pairs[mark.start()])
        if lines >= MAX_FUNCTION:
            found.append((mark.start(), lines))
    return found


def problems(text):
    """[(line, what is wrong there)]"""
    found = [
        (at, "a body has braces where it is not on its condition's line, or there is an `else`")
        for at, _, _ in bodies_without_braces(text)
    ]
    found += [
        (at, f"a function of {lines} lines, which has less than {MAX_FUNCTION}")
        for at, lines in long_functions(text)
    ]
    return [(text.count("\n", 0, at) + 1, message) for at, message in sorted(found)]


def with_braces(text):
    """The text with the braces that are missing."""
    puts = []
    for _, begin, end in bodies_without_braces(text):
        puts += [(begin, 1, "{ "), (end, 0, " }")]
    for at, _, brace in sorted(puts, reverse=True):
        text = text[:at] + brace + text[at:]
    return text


def main():
    if len(sys.argv) < 3 or sys.argv[1] != "--fix":
        sys.exit("usage: statements.py --fix FILE...")
    for name in sys.argv[2:]:
        path = Path(name)
        text = path.read_text(encoding="utf-8")
        fixed = with_braces(text)
        if fixed != text:
            path.write_text(fixed, encoding="utf-8")
            print(name)


if __name__ == "__main__":
    main()
