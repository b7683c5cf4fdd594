from __future__ import annotations

import csv
import io
import math
import re

import numpy as np
import pytest

from lt_plugins.table_text import csv_table, latex_table, latex_text

HEADER = ("Config", "Overall", "note")
ROWS = [("a_b & 50%", 1 / 3, None), ('"x", y\nz', math.nan, "47.0 ± 0.3"), (7, np.float64(-2), "猫")]


def test_csv_keeps_all_digits_and_any_text() -> None:
    text = csv_table(HEADER, ROWS)
    header, first, second, third = csv.reader(io.StringIO(text))
    assert header == [*HEADER]
    assert (first[0], float(first[1]), first[2]) == ("a_b & 50%", 1 / 3, "")
    assert second == ['"x", y\nz', "", "47.0 ± 0.3"]
    assert third == ["7", "-2.0", "猫"]


def test_latex_table() -> None:
    assert latex_table(HEADER, ROWS, {1}, ["two\nlines"]).splitlines() == [
        r"% \usepackage{booktabs}",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"Config & Overall & note \\",
        r"\midrule",
        r"a\_b \& 50\% & 0.33 &  \\",
        r"\textquotedbl{}x\textquotedbl{}, y z &  & 47.0 $\pm$ 0.3 \\",
        r"7 & -2.00 & 猫 \\",
        r"\bottomrule",
        r"\end{tabular}",
        "% two lines",
    ]
    long = latex_table(["[n]"], [[index] for index in range(51)], {0})
    assert r"\usepackage{longtable}" in long and r"\begin{longtable}{r}" in long and r"\endhead" in long
    assert "\n{}[n] \\\\\n" in long, r"else it is the argument of the \\ before it"


def read_latex(text: str) -> str:
    """Typeset text back: an independent reading of the escapes, character by character."""
    words = {
        **{"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">"},
        **{"textbar": "|", "textquotedbl": '"', "ldots": "…"},
    }
    out, rest = "", text
    while rest:
        if found := re.match(r"\\([a-z]+)\{\}", rest):
            out += words[found[1]]
        elif found := re.match(r"\\([&%$#_{}])", rest):
            out += found[1]
        elif found := re.match(r"\$\\?([a-z]+|-)\$", rest):
            out += {"pm": "±", "times": "\u00d7", "rightarrow": "→", "-": "\u2212"}[found[1]]
        elif found := re.match("--", rest):
            out += "\u2013"
        else:
            found = re.match(r"[^\\&%$#_{}~^]", rest)
            assert found, f"{rest!r} begins with a character that LaTeX reads as a command"
            out += found[0]
        rest = rest[found.end() :]
    return out


@pytest.mark.parametrize(
    "text", ["".join(map(chr, range(32, 127))).replace("--", "-"), "47 ± 1 → \u00d7…\u2013\u2212", r"\\{}$^_~%&#"]
)
def test_escapes_are_complete(text: str) -> None:
    assert read_latex(latex_text(text)) == " ".join(text.split())


def test_control_characters_do_not_reach_latex() -> None:
    assert read_latex(latex_text("a\x1b[31m\u202e\udce9")) == r"a\x1b[31m\u202e\udce9"
