"""Labels of images that may be mixtures of two classes."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, where

from lt_plugins.errors import UserInputError


class TakesMixtures:
    """Mixin of losses that take images of one class and mixtures of two (Mixup, CutMix)."""

    _knows_mixture: bool = False

    def split_label(self, label: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Labels of a batch and the share of each image that is of them.

        Args:
            label (Tensor): True classes, int64 ``(B,)``, or shares of classes, shape ``(B, C)``.

        Yields:
            tuple[Tensor, Tensor | None]: Classes, int64 ``(B,)``, and their shares, shape ``(B,)``, None for 1. Among
            mixed images, one of a single class comes a second time with it and a share of 0.

        Raises:
            UserInputError: If an image of the first mixed batch is of more than two classes.
        """
        if label.ndim == 1:
            yield label, None
            return
        if not self._knows_mixture:  # asked once: it waits for the device
            most = int((label > 0).sum(dim=1).max())
            if most > 2:
                raise UserInputError(
                    f"{type(self).__name__} takes images of one class or mixtures of two (Mixup, CutMix), and one has "
                    f"{most}; mix once, and smooth no labels before the loss."
                )
            self._knows_mixture = True
        shares, classes = label.topk(2, dim=1)
        # The loss of a class with a share of 0 may be infinite, and 0 times infinity is not a number.
        classes[:, 1] = where(shares[:, 1] > 0, classes[:, 1], classes[:, 0])
        yield from zip(classes.unbind(dim=1), shares.unbind(dim=1), strict=True)
