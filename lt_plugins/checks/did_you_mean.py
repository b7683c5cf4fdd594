"""The name that a misspelt one probably stands for."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MAX_NAMES = 40
CUTOFF = 0.72
SHORT, SHORT_CUTOFF = 4, 0.6  # two letters exchanged in a name of three, like SDG


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End of a message about an unknown name: the closest known one, or all of them if they are few.

    Args:
        name (str): The unknown name.
        known (Iterable[str]): The names that would do.
    """
    names = sorted(set(known))
    folded = {other.lower(): other for other in names}
    near = get_close_matches(name.lower(), folded, n=1, cutoff=SHORT_CUTOFF if len(name) <= SHORT else CUTOFF)
    if near:
        return f"; did you mean {folded[near[0]]!r}?"
    if not names or len(names) > MAX_NAMES:
        return "."
    return f"; it has {', '.join(names)}."
