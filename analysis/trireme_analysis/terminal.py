# SPDX-License-Identifier: Apache-2.0
# Text for terminals of any kind: encodings without our characters, names that hold control
# characters, and terminals that only print.
import codecs
import os
import sys
import unicodedata

NEAREST = "nearest"  # the error handler's name
EQUIVALENTS = {
    "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "×": "x", "·": "*", "≥": ">=",
    "≤": "<=", "≠": "!=", "±": "+-", "µ": "u", "\N{THIN SPACE}": " ",
    "▁": "_", "▂": ".", "▃": ",", "▄": "-", "▅": "+", "▆": "=", "▇": "*", "█": "#",
}  # fmt: skip


def _nearest(error):
    """Characters that an encoding lacks become the nearest ASCII ones."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(EQUIVALENTS.get(c, "?") for c in bad), error.end


codecs.register_error(NEAREST, _nearest)


def adapt_streams():
    """From now on, no text that this program prints fails because of a stream's encoding."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=NEAREST)


def printable(text):
    """The text in one line: control characters, and characters that reorder a line, become
    escapes such as \\x1b. Bytes of a name that are not UTF-8 become \\xff."""
    return "".join(c if _prints(c) else _escape(c) for c in str(text))


def _prints(character):
    # Cc: controls; Cf: formats, such as a reversed direction; Cs: bytes that are not UTF-8;
    # Zl, Zp: line ends.
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escape(character):
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a name that isn't UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable_lines(text):
    return "\n".join(printable(line) for line in str(text).split("\n"))


def redraws(stream):
    """Whether the stream is a terminal that can go back to its top."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def close_quietly():
    """After a reader such as `head` has closed its end: Python's last flush finds no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
