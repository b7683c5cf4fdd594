"""Linear head whose class weights stay within a ball."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.registry import MODELS


@MODELS.register_module()
class MaxNormHead(LinearHead):
    r"""Linear head under a MaxNorm constraint: :math:`\lVert w_c \rVert_2 \le \theta` for each class ``c``.

    Rows of the weight that have grown beyond the radius are scaled back to it, others and the bias stay as they are.
    ``MaxNormHook`` says when, and sets the radius before the first step from the norms :math:`r_c` that the rows come
    with from stage 1, :math:`\theta = r_{\min} + t \, (r_{\max} - r_{\min})`.

    Source: Alshammari et al., "Long-Tailed Recognition via Weight Balancing" (CVPR 2022), section 3.3 (MaxNorm by
    projected gradient descent); the radius as in their released code.

    Attributes:
        max_norm (Tensor): The radius :math:`\theta`, a buffer of shape ``()``; 0 as long as it is not set.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        **kwargs: Loss and other settings of ``LinearHead``.

    Examples:
        >>> head = dict(type='MaxNormHead', num_classes=100, in_channels=64)
        >>> custom_hooks = [dict(type='MaxNormHook', threshold=0.1)]
    """

    needs_hook: ClassVar[dict[str, str]] = {"type": "MaxNormHook"}
    max_norm: Tensor

    def __init__(self, num_classes: int, in_channels: int, **kwargs: Any) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels, **kwargs)
        self.register_buffer("max_norm", torch.zeros(()))

    def row_norms(self) -> Tensor:
        """Norm of the weight of each class, shape ``(C, 1)``."""
        return torch.linalg.vector_norm(self.fc.weight.detach(), dim=1, keepdim=True)

    def set_max_norm(self, threshold: float) -> None:
        r"""Set the radius from the present norms.

        Args:
            threshold (float): Where it lies between the smallest (0) and the largest norm (1).

        Raises:
            UserInputError: If all weights within the radius would be zero.
        """
        norms = self.row_norms()
        smallest, largest = norms.amin(), norms.amax()
        self.max_norm.copy_(smallest + threshold * (largest - smallest))
        if not self.max_norm > 0:
            raise UserInputError(
                f"MaxNorm with threshold={threshold} would leave no weight, since that of a class is zero; train the "
                "classifier first (reuse_head=True), or give a larger threshold."
            )

    @torch.no_grad()
    def project_weight(self) -> None:
        """Scale the rows beyond the radius back to it, in place and without waiting for the device."""
        self.fc.weight.mul_((self.max_norm / self.row_norms()).clamp(max=1))
