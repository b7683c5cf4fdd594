"""Check of annotations in the format of PASCAL VOC."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection
from pathlib import Path

from lt_plugins.datasets.image_file import DEFAULT_MAX_PIXELS, ImageFileError, probe_image_file
from lt_plugins.datasets.text_file import excerpt, is_regular_file, show_path

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_TOLERANCE = 1  # pixels: some tools count from 0


def find_voc_problem(
    image: Path, annotation: Path, known_classes: Collection[str], max_pixels: int = DEFAULT_MAX_PIXELS
) -> str | None:
    """Find the first problem of an image and its annotation in the fields that mmdet reads.

    Args:
        image (Path): The image file.
        annotation (Path): The XML file.
        known_classes (Collection[str]): Names that objects may have.
        max_pixels (int): Largest width times height of an image.

    Returns:
        str | None: The first problem, with the file it is in; None if there is none.
    """
    shown = show_path(annotation)
    if not is_regular_file(annotation):
        return f"annotation {shown} is missing or no regular file"
    try:
        size = probe_image_file(image, max_pixels)
    except ImageFileError as error:
        return f"image {show_path(image)} of {shown} {error}"
    try:
        root = ET.parse(annotation).getroot()
    except (ET.ParseError, ValueError, LookupError, OSError) as error:
        return f"annotation {shown} cannot be read ({error})"
    if root.tag != "annotation":
        return f"annotation {shown} holds {excerpt(root.tag)}, expected 'annotation'"
    if problem := _size_problem(root):
        return f"annotation {shown} {problem}"
    for number, found in enumerate(root.findall("object"), start=1):
        if problem := _object_problem(found, known_classes, size):
            return f"object {number} of {shown} {problem}"
    return None


def _size_problem(root: ET.Element) -> str | None:
    """Check width and height of the annotation, by which mmdet leaves out small images."""
    size = root.find("size")
    if size is None:
        return None
    for side in ("width", "height"):
        text = size.findtext(side)
        value = _whole_number(text)
        if value is None or value < 1:
            return f"has the size/{side} {_show(text)}, expected a positive number of pixels"
    return None


def _object_problem(found: ET.Element, known_classes: Collection[str], size: tuple[int, int]) -> str | None:
    name = found.findtext("name", default="")
    if name not in known_classes:
        return f"has the unknown class {excerpt(name)}"
    if found.find("difficult") is not None and _whole_number(text := found.findtext("difficult")) not in (0, 1):
        return f"({name}) has difficult {_show(text)}, expected 0 or 1"
    box = []
    for corner in _CORNERS:
        text = found.findtext(f"bndbox/{corner}")
        try:
            box.append(int(float(text or "")))  # whole pixels, as mmdet reads them
        except (ValueError, OverflowError):  # a word, not a number, infinite
            problem = f"no {corner}" if text is None else f"the {corner} {_show(text)}, expected a number"
            return f"({name}) has {problem}"
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        return f"({name}) has an empty box: x {left} to {right}, y {top} to {bottom}"
    width, height = size
    if min(left, top) < 1 - _TOLERANCE or right > width + _TOLERANCE or bottom > height + _TOLERANCE:
        return (
            f"({name}) has a box beyond its image of {width} x {height} pixels: x {left} to {right}, "
            f"y {top} to {bottom}"
        )
    return None


def _whole_number(text: str | None) -> int | None:
    """Parse a whole number as mmdet does, which stops at a decimal point; None if it is none."""
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,9}", text) else None


def _show(text: str | None) -> str:
    return excerpt(text) if text else "(empty)"
