"""Box of CutMix: the part of an image that another one takes over."""

from __future__ import annotations

import math
from typing import NamedTuple


class CutMixBox(NamedTuple):
    """Rows and columns of an image that come from another one.

    Args:
        rows (slice): Rows, within the image.
        columns (slice): Columns, within the image.
        share (float): Area of the box in that of the image, from 0 to 1.
    """

    rows: slice
    columns: slice
    share: float


def cutmix_box(height: int, width: int, share: float, centre: tuple[int, int], round_up: bool = False) -> CutMixBox:
    r"""Box of CutMix with a given share and centre, clipped at the borders of the image.

    Its sides are :math:`H \sqrt{a}` and :math:`W \sqrt{a}` for a share :math:`a = 1 - \lambda`, in whole pixels, and
    reach half of that to both sides of the centre. Clipping makes it smaller, so its share of the image, which is
    returned, is at most about :math:`a`.

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features" (ICCV
    2019), Eq. 2; as released, halves of odd sides are rounded down, so that each side is an even number of pixels.

    Args:
        height (int): Rows :math:`H` of the image.
        width (int): Columns :math:`W` of the image.
        share (float): The share :math:`a` of the image that the other one is to have, from 0 to 1.
        centre (tuple[int, int]): Row and column of the centre; drawn uniformly from all pixels.
        round_up (bool): Whether sides are rounded up to whole pixels, as in GLMC, instead of down. Defaults to False.

    Returns:
        CutMixBox: Rows, columns, and the share of the clipped box.
    """
    rows, columns = (
        _side(length, length * math.sqrt(share), middle, round_up)
        for length, middle in zip((height, width), centre, strict=True)
    )
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return CutMixBox(rows, columns, area / (height * width))


def _side(length: int, extent: float, middle: int, round_up: bool) -> slice:
    half = (math.ceil(extent) if round_up else int(extent)) // 2
    return slice(max(middle - half, 0), min(middle + half, length))
