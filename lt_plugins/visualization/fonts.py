"""Fonts of figures for any script: characters that no installed font has are spelled in Latin letters, never boxes."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cache

from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

# A family without a regular weight (DejaVu Sans Light) serves as well, and is no news for the user.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

# Fonts whose every character is a box with its block's name.
_BOXES = "Last Resort"
_CODE = re.compile(r"U\+[0-9A-F]{4,}")


def default_font() -> str:
    """Path of the font that figures use, which comes with matplotlib."""
    return font_manager.findfont(FontProperties())


@cache
def characters_of(path: str) -> frozenset[int]:
    """Code points that a font has glyphs for.

    Args:
        path (str): File of the font; one that cannot be read or scaled has none.
    """
    try:
        font = FT2Font(path)
    except (RuntimeError, OSError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()


def find_families(characters: Collection[str]) -> tuple[list[str], set[str]]:
    """Families of installed fonts for characters that the default font lacks, the one with most of them first.

    Args:
        characters (Collection[str]): Single characters.

    Returns:
        tuple[list[str], set[str]]: The families, and the characters that no font has.
    """
    left = {character for character in characters if ord(character) not in characters_of(default_font())}
    left -= {character for character in left if character.isspace()}
    families: list[str] = []
    while left:
        paths = _families()
        counts = {name: len(_covered(paths[name], left)) for name in paths.keys() - set(families)}
        # Of equal ones a sans-serif, to go with the default.
        best = max(sorted(counts), key=lambda name: (counts[name], "sans" in name.lower()), default=None)
        if best is not None and counts[best]:
            families.append(best)
            left -= _covered(paths[best], left)
        elif not _notice_new_fonts():
            break
    return families, left


def spell(text: str) -> str:
    """Spell the characters that no installed font has: by their names in Unicode, Han characters by their number.

    ``"ねこ"`` becomes ``"neko"`` where there is no Japanese font, ``"猫"`` becomes ``"U+732B"``.

    Args:
        text (str): Any text.
    """
    missing = find_families(set(text))[1]
    return _spell(text, missing)


def figure_names(names: Sequence[str]) -> list[str]:
    """Names of classes as figures can show them, all different: spelled, or ``#17`` where that gives no letters.

    Args:
        names (Sequence[str]): Class names in label order.
    """
    missing = find_families(set("".join(names)))[1]
    spelled = [_spell(name, missing) for name in names]
    often = Counter(spelled)
    return [
        name if shown == name else f"#{index}" if _CODE.search(shown) or often[shown] > 1 else shown
        for index, (name, shown) in enumerate(zip(names, spelled, strict=True))
    ]


def show_all_scripts(figure: Figure) -> None:
    """Give each text of a figure fonts with its characters, and spell those that none has.

    Args:
        figure (Figure): The figure, changed in place.
    """
    axes = [axis for part in figure.axes for axis in (part.xaxis, part.yaxis)]
    ticks = {axis: axis.get_ticklabels(which="both") for axis in axes}
    texts: list[Text] = [*figure.findobj(Text), *(label for labels in ticks.values() for label in labels)]
    families, missing = find_families(set("".join(text.get_text() for text in texts)))
    for axis, labels in ticks.items():
        if missing.intersection("".join(label.get_text() for label in labels)):
            _spell_ticks(axis, missing)
    for text in texts:
        if missing.intersection(text.get_text()):
            text.set_text(_spell(text.get_text(), missing))
        if families and not text.get_text().isascii():
            text.set_fontfamily([*text.get_fontfamily(), *families])


def picture_font(text: str) -> tuple[str, str]:
    """Font for a line of a picture that is drawn without matplotlib, where a line has one font.

    Args:
        text (str): The line.

    Returns:
        tuple[str, str]: Path of the font, and the text with the characters spelled that it lacks.
    """
    families, _ = find_families(set(text))
    known = _families()
    paths = [default_font(), *(known[family] for family in families)]
    path = max(paths, key=lambda path: len(_covered(path, text)))
    return path, _spell(text, {character for character in text if ord(character) not in characters_of(path)})


def _families() -> dict[str, str]:
    """Path of the plainest font of each family; matplotlib's own search warns of families without one."""
    plainest: dict[str, tuple[bool, float, str]] = {}
    for entry in font_manager.fontManager.ttflist:
        if not entry.name.startswith(_BOXES):
            weight = entry.weight if isinstance(entry.weight, int) else font_manager.weight_dict.get(entry.weight, 400)
            own = (entry.style != "normal", abs(weight - 400), entry.fname)
            plainest[entry.name] = min(own, plainest.get(entry.name, own))
    return {name: path for name, (_, _, path) in plainest.items()}


def _covered(path: str, characters: Iterable[str]) -> set[str]:
    return {character for character in characters if ord(character) in characters_of(path)}


def _notice_new_fonts() -> bool:
    """Add fonts that were installed after matplotlib made its list; whether there were any."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist} | _unreadable
    new = [path for path in font_manager.findSystemFonts() if path not in known]
    for path in new:
        try:
            font_manager.fontManager.addfont(path)
        except (RuntimeError, OSError):
            _unreadable.add(path)
    return any(path not in _unreadable for path in new)


_unreadable: set[str] = set()


def _spell_ticks(axis: Axis, missing: Collection[str]) -> None:
    plain = axis.get_major_formatter()
    axis.set_major_formatter(FuncFormatter(lambda value, position: _spell(plain(value, position), missing)))


def _spell(text: str, missing: Collection[str]) -> str:
    return "".join(_romanize(character) if character in missing else character for character in text)


def _romanize(character: str) -> str:
    compatible = unicodedata.normalize("NFKC", character)  # of another width, a ligature
    if compatible != character and compatible.isascii():
        return compatible
    name = unicodedata.name(compatible[:1], "")
    letter = re.search(r" (?:LETTER|SYLLABLE|VOWEL SIGN)(?: SMALL| CAPITAL)* ([A-Z]+)$", name)
    if letter:
        return letter[1].lower()
    thai = re.search(r"^(?:THAI|LAO) (?:CHARACTER|LETTER|VOWEL SIGN) (?:SARA |MAI )?([A-Z]+)", name)
    if thai:
        return thai[1].lower()
    category = unicodedata.category(character)
    if category.startswith("M"):  # a mark on the letter before it
        return ""
    if category == "So" and name:
        return f"({name.lower()})"
    return f"U+{ord(character):04X}"
