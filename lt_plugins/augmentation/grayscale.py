"""Gray images by weights of the channels."""

from __future__ import annotations

from torch import Tensor

from lt_plugins.augmentation.draws import Draws


class Grayscale:
    """Gives all channels the weighted sum of the three; fractions are cut off.

    Args:
        weights (tuple[float, float, float]): Weights of the channels in their order; they are divided by their sum.
    """

    def __init__(self, weights: tuple[float, float, float]) -> None:
        self.weights = [weight / sum(weights) for weight in weights]

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:  # noqa: ARG002 (nothing is random)
        """Make images gray.

        Args:
            images (Tensor): uint8 ``(B, 3, H, W)``.
            draws (Draws): Not used.

        Returns:
            Tensor: Same shape.
        """
        # Single operations in double precision, which every device rounds alike, in the order of mmcv.
        first, second, third = (
            channel.double().mul_(weight) for channel, weight in zip(images.unbind(1), self.weights, strict=True)
        )
        return first.add_(second).add_(third).short().byte()[:, None].expand_as(images).contiguous()
