"""Tables of texts: lined up for people, Markdown, CSV. The first row is the head."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

Rows = Sequence[Sequence[str]]
# brackets make a link only with what follows them; within words, underscores are no marks
_MARKS = re.compile(r"[\\|<`*]|(?<=\])\(")


def text_table(rows: Rows) -> list[str]:
    """Return rows as lines; the first column is set to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_cells(row, widths)).rstrip() for row in rows]


def _cells(row: Sequence[str], widths: list[int]) -> list[str]:
    rest = zip(row[1:], widths[1:], strict=True)
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in rest)]


def markdown_table(rows: Rows) -> list[str]:
    """Return rows as the lines of a Markdown table, numbers to the right; cells are plain texts."""
    head, *body = [[markdown_text(cell) for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *body)]


def markdown_text(text: str) -> str:
    """Return a line of plain text as Markdown that shows it: names make no HTML, links, code or stress."""
    return _MARKS.sub(r"\\\g<0>", text)


def csv_text(rows: Rows) -> str:
    """Return rows as the text of a CSV file."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
