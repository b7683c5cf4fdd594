"""Is an annotation in the format of PASCAL VOC one that a detector can learn from?"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection
from pathlib import Path

from PIL import Image

from lt_plugins.datasets.integrity import DECODE_ERRORS


def find_voc_problem(image: Path, annotation: Path, known_classes: Collection[str]) -> str | None:
    """Find what is wrong with an image and its annotation.

    Args:
        image (Path): The image file.
        annotation (Path): The XML file.
        known_classes (Collection[str]): Names that objects may have.

    Returns:
        str | None: The first problem, with the file it is in; None if there is none.
    """
    if not annotation.is_file():
        return f"annotation {annotation} is missing"
    if not image.is_file():
        return f"image {image} of {annotation} is missing"
    try:
        with Image.open(image):  # reads the header, no pixels
            pass
    except DECODE_ERRORS as error:
        return f"image {image} cannot be read ({error})"
    try:
        objects = ET.parse(annotation).getroot().findall("object")
        for number, found in enumerate(objects, start=1):
            if problem := _object_problem(found, known_classes):
                return f"object {number} of {annotation} {problem}"
    except (ET.ParseError, ValueError) as error:
        return f"annotation {annotation} cannot be read ({error})"
    return None


def _object_problem(found: ET.Element, known_classes: Collection[str]) -> str | None:
    name = found.findtext("name", default="")
    if name not in known_classes:
        return f"has the unknown class {name!r}"
    corners = {corner: found.findtext(f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")}
    absent = [corner for corner, value in corners.items() if value is None]
    if absent:
        return f"({name}) has no {absent[0]}"
    # Whole pixels, as mmdet reads them.
    left, top, right, bottom = (int(float(value)) for value in corners.values() if value is not None)
    if right <= left or bottom <= top:
        return f"({name}) has an empty box: x {left} to {right}, y {top} to {bottom}"
    return None
