"""CMO: boxes of rare images on images as they come."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from lt_plugins.augmentation.cutmix_box import CutMixBox, cutmix_box
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import StepDraws
from lt_plugins.registry import BATCH_AUGMENTS


@BATCH_AUGMENTS.register_module()
class CMO(StepDraws, nn.Module):
    r"""Context-rich minority oversampling (CMO): pastes boxes of class-balanced images onto images as they come.

    A batch has two halves, as ``CompanionBatchSampler`` makes them: backgrounds of the ordinary sampler and
    foregrounds of a companion, class-uniform with ``ClassBalancedSampler(power=1 - r)`` for the weight :math:`1 / n^r`
    of each image, :math:`r = 1`. With probability ``prob`` the batches of a step are mixed: a box of the share
    :math:`1 - \lambda`, :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, with a uniform centre
    (:func:`~lt_plugins.augmentation.cutmix_box.cutmix_box`), one for all, is cut out of each foreground and pasted onto
    its background; labels count by the area of the clipped box. What is left is the first half, mixed or as it was.

    Any :class:`~lt_plugins.models.losses.LongTailLoss` takes the mixed labels, also one of several experts. With
    deferred class weights the released code divides the losses of backgrounds and foregrounds each by their own
    weights: ``normalize_by="labels"``.

    Source: Park et al., "The Majority Can Help The Minority: Context-rich Minority Oversampling for Long-tailed
    Classification" (CVPR 2022), section 3.2 and Algorithm 1; probability and epochs are those of the released code.

    Args:
        alpha (float): Parameter of the Beta distribution, positive. Defaults to 1.0: uniform.
        prob (float): Probability that a step is mixed. Defaults to 0.5.
        mix_from (int): First epoch with mixed batches, from 0; 4 in the released code. Defaults to 0.
        mix_until (int, optional): First epoch without them again; the third last in the released code, 197 of 200.
            Defaults to None: they are mixed to the end.

    Raises:
        UserInputError: If an argument is out of its range; in a step, if a batch has no two halves.

    Examples:
        >>> model = dict(train_cfg=dict(augments=dict(type='CMO', mix_from=4, mix_until=197)))
        >>> train_dataloader = dict(batch_sampler=dict(
        ...     type='CompanionBatchSampler', companions=[dict(type='ClassBalancedSampler')]))
    """

    num_parts = 2
    """In how many parts a batch comes for each image that is left."""

    def __init__(self, alpha: float = 1.0, prob: float = 0.5, mix_from: int = 0, mix_until: int | None = None) -> None:
        super().__init__()
        if not 0 < alpha < float("inf"):
            raise UserInputError(f"alpha={alpha} of CMO must be positive, like 1.0.")
        if not 0 <= prob <= 1:
            raise UserInputError(f"prob={prob} of CMO must be in [0, 1], like 0.5.")
        if mix_from < 0 or (mix_until is not None and mix_until < mix_from):
            raise UserInputError(
                f"mix_from={mix_from} and mix_until={mix_until} of CMO must be epochs from 0, the first not after the "
                "second, like 4 and 197 of 200."
            )
        self.alpha = alpha
        self.prob = prob
        self.mix_from = mix_from
        self.mix_until = mix_until
        self.is_active = mix_from == 0 and mix_until != 0

    def set_epoch(self, epoch: int, max_epochs: int) -> str:
        """Mix from ``mix_from`` until ``mix_until``, and begin the random numbers of an epoch.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str: The state, for the log.
        """
        super().set_epoch(epoch, max_epochs)
        self.is_active = self.mix_from <= epoch and (self.mix_until is None or epoch < self.mix_until)
        return "pastes boxes of foregrounds" if self.is_active else "leaves the images as they are"

    def forward(self, images: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Paste the foregrounds of a batch onto its backgrounds, or leave the backgrounds alone.

        Args:
            images (Tensor): Normalised images, shape ``(2 B, 3, H, W)``: ``B`` backgrounds, and ``B`` foregrounds.
            scores (Tensor): Their classes, one-hot, shape ``(2 B, C)``.

        Returns:
            tuple[Tensor, Tensor]: Images, shape ``(B, 3, H, W)``, and the shares of their classes, ``(B, C)``.

        Raises:
            UserInputError: If the number of images is odd.
        """
        if len(images) % self.num_parts:
            raise UserInputError(
                f"CMO takes a batch of backgrounds and as many foregrounds, and got {len(images)} images; let "
                "CompanionBatchSampler make the batches, with a ClassBalancedSampler as companion."
            )
        backgrounds, foregrounds = images.chunk(self.num_parts)
        background_scores, foreground_scores = scores.to(images.dtype).chunk(self.num_parts)
        mixed = backgrounds.clone()
        height, width = images.shape[-2:]
        box = self.draw(lambda generator: self._draw_box(generator, height, width)) if self.is_active else None
        if box is None:
            return mixed, background_scores
        mixed[..., box.rows, box.columns] = foregrounds[..., box.rows, box.columns]
        return mixed, (1 - box.share) * background_scores + box.share * foreground_scores

    def _draw_box(self, generator: np.random.Generator, height: int, width: int) -> CutMixBox | None:
        """The box of a step; None if its batches are not mixed."""
        if generator.random() >= self.prob:
            return None
        share = 1 - generator.beta(self.alpha, self.alpha)
        centre = int(generator.integers(height)), int(generator.integers(width))
        return cutmix_box(height, width, share, centre)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"alpha={self.alpha}, prob={self.prob}, mix_from={self.mix_from}, mix_until={self.mix_until}"
