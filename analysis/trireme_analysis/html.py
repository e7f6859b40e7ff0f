# SPDX-License-Identifier: Apache-2.0
# The HTML of a report. Every text from outside is escaped, and the page contains every picture.
import base64
import io
from html import escape

from . import style

LARGEST_SVG = 400_000  # bytes; larger pictures become PNG
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 2em auto; max-width: 62em;
  padding: 0 1em; }
h1 { font-size: 1.6em; margin-bottom: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2em; border-bottom: 1px solid #ccc; margin-top: 2em; }
table { border-collapse: collapse; font-size: 0.87em; margin: 0.5em 0; }
th, td { text-align: left; padding: 0.15em 0.9em 0.15em 0; border-bottom: 1px solid #eee;
  overflow-wrap: anywhere; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead { display: table-header-group; }
figure { display: inline-block; width: 48%; min-width: 20em; margin: 0 0.5% 1em;
  vertical-align: top; break-inside: avoid; }
img { width: 100%; height: auto; }
figcaption { font-size: 0.87em; color: #555; }
pre { font-size: 0.8em; background: #f6f6f6; padding: 0.7em; white-space: pre-wrap;
  overflow-wrap: anywhere; }
details { margin: 0.5em 0; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; }
  h2 { break-after: avoid; }
  figure { min-width: 0; }
  tr { break-inside: avoid; }
  pre { background: none; border: 1px solid #ccc; }
}
"""


def page(title, subtitle, sections):
    """A whole page of [(heading, HTML)]."""
    body = "\n".join(
        f"<section>\n<h2>{escape(heading)}</h2>\n{text}\n</section>"
        for heading, text in sections
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(subtitle)}</p>\n{body}\n</body>\n</html>\n"
    )


def table(head, rows):
    """A table of text and numbers; numbers are aligned right."""
    cells = "".join(f"<th>{escape(str(name))}</th>" for name in head)
    lines = [f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows]
    return _table([f"<thead><tr>{cells}</tr></thead>", "<tbody>", *lines, "</tbody>"])


def pairs(rows):
    """A table of (name, value), aligned left."""
    lines = [f"<tr><td>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in rows]
    return _table(["<tbody>", *lines, "</tbody>"])


def _table(lines):
    return "\n".join(["<table>", *lines, "</table>"])


def _cell(value):
    text = str(value)
    number = text[:1].isdigit() or (text[:1] in "+-−" and text[1:2].isdigit())
    return f'<td class="number">{escape(text)}</td>' if number else f"<td>{escape(text)}</td>"


def preformatted(text):
    return f"<pre>{escape(text)}</pre>"


def folded(summary, html):
    """A section that a reader can fold; open, so that it is printed."""
    return f"<details open>\n<summary>{escape(summary)}</summary>\n{html}\n</details>"


def bullets(lines):
    items = "\n".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>\n{items}\n</ul>"


def picture(figure, caption):
    """The figure as data in the page: SVG, or PNG for a large SVG. Closes the figure."""
    kind, data = "svg+xml", _bytes(figure, "svg", metadata={"Date": None, "Creator": None})
    if len(data) > LARGEST_SVG:
        kind, data = "png", _bytes(figure, "png", dpi=200)
    style.pyplot.close(figure)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    text = escape(caption)
    image = f'<img src="{source}" alt="{text}">'
    return f"<figure>\n{image}\n<figcaption>{text}</figcaption>\n</figure>"


def _bytes(figure, kind, **options):
    file = io.BytesIO()
    figure.savefig(file, format=kind, **options)
    return file.getvalue()
