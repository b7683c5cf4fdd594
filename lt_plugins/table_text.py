"""Tables as text: CSV for programs, LaTeX for papers."""

from __future__ import annotations

import csv
import io
import math
import numbers
from collections.abc import Collection, Iterable, Sequence

from lt_plugins.terminal import printable

# A float of LaTeX cannot break over pages; so many rows fill one.
MAX_FLOAT_ROWS = 50
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",  # a quotation mark alone is a shorthand of babel's German
    "±": r"$\pm$",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "→": r"$\rightarrow$",
    "…": r"\ldots{}",
    "\u2013": "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def csv_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table as CSV (RFC 4180, with plain line feeds). Floats keep all digits.

    Args:
        header (Sequence[str]): Names of the columns.
        rows (Iterable[Sequence[object]]): The cells; None and NaN are empty ones.

    Returns:
        str: The lines, each with a line feed.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if is_empty(value) else value for value in row] for row in rows])
    return text.getvalue()


def latex_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], numeric: Collection[int], notes: Sequence[str] = ()
) -> str:
    r"""Format a table for LaTeX with the rules of ``booktabs``; more than 50 rows become a ``longtable``.

    Args:
        header (Sequence[str]): Names of the columns.
        rows (Sequence[Sequence[object]]): The cells; floats get two decimals, None and NaN are empty.
        numeric (Collection[int]): Columns that are aligned to the right.
        notes (Sequence[str]): Written below as comments. Defaults to none.

    Returns:
        str: Lines to ``\input``, each with a line feed. Text beyond Latin needs XeLaTeX or LuaLaTeX and a font with it.
    """
    is_long = len(rows) > MAX_FLOAT_ROWS
    columns = "".join("r" if column in numeric else "l" for column in range(len(header)))
    environment = "longtable" if is_long else "tabular"
    packages = r"\usepackage{booktabs}" + (r" \usepackage{longtable}" if is_long else "")
    lines = [
        f"% {packages}",
        f"\\begin{{{environment}}}{{{columns}}}",
        r"\toprule",
        _latex_row([latex_text(name) for name in header]),
        r"\midrule",
        *([r"\endhead"] if is_long else []),
        *(_latex_row([latex_text(shown(value)) for value in row]) for row in rows),
        r"\bottomrule",
        f"\\end{{{environment}}}",
        *(f"% {' '.join(printable(note).split())}" for note in notes),
    ]
    return "\n".join(lines) + "\n"


def latex_text(text: str) -> str:
    """Escape text for LaTeX: its special characters, and the signs of our tables that Latin fonts lack.

    Args:
        text (str): Any text.
    """
    return "".join(_LATEX.get(character, character) for character in " ".join(printable(text).split()))


def shown(value: object) -> str:
    """Format a cell for reading: floats get two decimals, None and NaN are empty.

    Args:
        value (object): The cell.
    """
    if is_empty(value):
        return ""
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{float(value):.2f}"
    return str(value)


def is_empty(value: object) -> bool:
    """Whether a cell holds nothing: None or NaN.

    Args:
        value (object): The cell.
    """
    return value is None or (isinstance(value, numbers.Real) and math.isnan(value))


def _latex_row(cells: Sequence[str]) -> str:
    # A cell that begins with a bracket would be the optional argument of the \\ before it.
    return " & ".join(f"{{}}{cell}" if cell.startswith(("[", "*")) else cell for cell in cells) + r" \\"
