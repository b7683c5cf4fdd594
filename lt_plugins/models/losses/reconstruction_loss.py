"""Does each place of a reconstructed feature map correspond to the same place of the original?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import StatesCall
from lt_plugins.registry import MODELS


def reconstruction_loss(reconstructed: Tensor, features: Tensor, temperature: float, symmetric: bool = False) -> Tensor:
    r"""Cross-entropy that asks which place of the feature map each reconstructed place belongs to.

    .. math::
        L = -\frac{1}{B P} \sum_{b, j} \log \frac{e^{C_{jj}}}{\sum_k e^{C_{jk}}}, \qquad
        C_{jk} = \frac{\hat f_j^\top f_k}{\tau \lVert \hat f_j \rVert \lVert f_k \rVert}

    Args:
        reconstructed (Tensor): Reconstructed features :math:`\hat f`, shape ``(B, P, D)``.
        features (Tensor): Original features ``f``, shape ``(B, P, D)``.
        temperature (float): :math:`\tau`.
        symmetric (bool): Whether each original place is also asked for its reconstruction. Defaults to False.

    Returns:
        Tensor: Scalar loss.
    """
    correlation = F.normalize(reconstructed, dim=2) @ F.normalize(features, dim=2).mT / temperature  # (B, P, P)
    own = torch.arange(features.shape[1], device=features.device).expand(len(features), -1)
    loss = F.cross_entropy(correlation.mT, own)  # classes are the second dimension
    if symmetric:
        loss = (loss + F.cross_entropy(correlation, own)) / 2
    return loss


@MODELS.register_module()
class ReconstructionLoss(StatesCall):
    """LCReg's reconstruction loss: latent features must tell the places of an image apart.

    The printed equation multiplies the index of a place with a log-probability; what it means is a classification of
    the places, see :func:`reconstruction_loss`. Both maps are normalised and divided by a temperature, since raw
    products of 2048 channels would saturate the softmax.

    Source: "Long-Tailed Recognition by Learning from Latent Categories" (LCReg), Eq. 4.

    Args:
        temperature (float): Temperature of the softmax over places. Defaults to 0.1.
        symmetric (bool): Whether each original place is also asked for its reconstruction. Defaults to False.

    Raises:
        UserInputError: If the temperature is not positive.

    Examples:
        >>> head = dict(type='LCRegHead', num_classes=100, in_channels=64, recon_loss=dict(symmetric=True))
    """

    call = "loss(reconstructed_maps, feature_maps)"

    def __init__(self, temperature: float = 0.1, symmetric: bool = False) -> None:
        super().__init__()
        if temperature <= 0:
            raise UserInputError(f"temperature={temperature} of the reconstruction loss must be positive, like 0.1.")
        self.temperature = temperature
        self.symmetric = symmetric

    def forward(self, reconstructed: Tensor, features: Tensor) -> Tensor:
        """Compute the mean loss of a batch.

        Args:
            reconstructed (Tensor): Reconstructed features, shape ``(B, P, D)`` for ``P`` places.
            features (Tensor): Original features, shape ``(B, P, D)``.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).
        """
        dtype = torch.promote_types(features.dtype, torch.float32)
        with torch.autocast(features.device.type, enabled=False):
            return reconstruction_loss(reconstructed.to(dtype), features.to(dtype), self.temperature, self.symmetric)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"temperature={self.temperature}, symmetric={self.symmetric}"
