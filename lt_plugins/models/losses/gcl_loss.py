"""Gaussian clouded logit loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.focal_loss import softmax_focal_loss
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.registry import MODELS

STANDARD_DEVIATION = 1 / 3  # of the noise, which is cut off at three of them


@MODELS.register_module()
class GCLLoss(LongTailLoss):
    r"""Gaussian clouded logits (GCL): noise lowers the cosines of rarer classes in training, and makes room for them.

    .. math::
        z_{ic} = s \big(\cos\theta_{ic} - \kappa |\epsilon_{ic}| \delta_c - m \mathbf 1[c = y_i]\big), \qquad
        \delta_c = \frac{\log n_{max} - \log n_c}{\log n_{max} - \log n_{min}}, \quad
        \epsilon_{ic} \sim \mathrm{clip}(\mathcal N(0, (1/3)^2), -1, 1)

    .. math::
        \ell_i = -(1 - p_{iy_i})^\gamma \log p_{iy_i}, \quad p_i = \mathrm{softmax}(z_i)

    The noise is drawn for each image and each class, not for the true one alone: the most frequent class gets none,
    the rarest the most. It is drawn in training mode only, from torch's generator of the device, so that a resumed run
    repeats it. The modulator :math:`(1 - p)^\gamma` carries no gradient. A mixed image gets noise of its own for each
    of its two classes, as in the released code.

    It needs the counts of the classes (``ClassDistributionHook`` sets them, else
    ``loss.class_distribution.set_counts()``) and logits that are cosines times ``scale``, as
    :class:`~lt_plugins.models.heads.CosineClsHead` gives them. An empty class gets the noise of the rarest; where all
    counts are equal, there is none. Training of all layers takes the defaults, that of the classifier in a second stage
    ``margin=0.1, scale=20, gamma=1``.

    Source: Li et al., "Long-tailed Visual Recognition via Gaussian Clouded Logit Adjustment" (CVPR 2022), and the code
    that its authors released.

    Args:
        noise_mul (float): Size of the noise :math:`\kappa` in units of the cosine, 0 or more. Defaults to 0.5.
        margin (float): Margin of the true class ``m`` in units of the cosine, 0 or more. Defaults to 0.0.
        scale (float): Scale ``s`` of the cosines in the logits. Defaults to 30.0.
        gamma (float): Exponent of the focal modulator :math:`\gamma`; with 0 there is none. Defaults to 0.0.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If noise, margin or exponent is negative, or the scale not positive.

    Examples:
        >>> loss = GCLLoss(class_counts=[100, 10, 1])
        >>> value = loss(30 * cosines, labels)
    """

    def __init__(
        self,
        noise_mul: float = 0.5,
        margin: float = 0.0,
        scale: float = 30.0,
        gamma: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not (noise_mul >= 0 and margin >= 0 and gamma >= 0):
            raise UserInputError(
                f"noise_mul={noise_mul}, margin={margin} and gamma={gamma} must be 0 or more, like 0.5, 0.1 and 1."
            )
        if not scale > 0:
            raise UserInputError(f"scale={scale} of the cosines must be positive, like 30.")
        self.noise_mul = noise_mul
        self.margin = margin
        self.scale = scale
        self.gamma = gamma

    def noise_sizes(self) -> Tensor:
        r"""Share of the noise that each class gets :math:`\delta`, from 0 to 1, shape ``(C,)``, float64."""
        logs = self.class_distribution.filled_counts().log()
        gaps = logs.max() - logs
        return gaps / gaps.max().clamp(min=torch.finfo(gaps.dtype).tiny)

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Focal loss of clouded logits, see :func:`softmax_focal_loss`.

        Args:
            logits (Tensor): Scaled cosines, shape ``(B, C)``.
            labels (Tensor): True classes, int64 ``(B,)``.

        Returns:
            Tensor: Losses, shape ``(B,)``.
        """
        lowered = self.margin * F.one_hot(labels, logits.shape[1]).to(logits)
        sizes = self.noise_sizes().to(logits)
        if self.training and self.noise_mul:
            noise = (STANDARD_DEVIATION * torch.randn_like(logits)).clamp(-1, 1)
            lowered = lowered + self.noise_mul * noise.abs() * sizes
        return softmax_focal_loss(logits - self.scale * lowered, labels, self.gamma, detach_modulator=True)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"noise_mul={self.noise_mul}, margin={self.margin}, scale={self.scale}, gamma={self.gamma}"
