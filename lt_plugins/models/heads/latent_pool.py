"""A pool of latent features that image features are compared with and rebuilt from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError


class LatentPool(nn.Module):
    r"""``M`` learnable latent features and the 1x1 layer that encodes them.

    Source: "Long-Tailed Recognition by Learning from Latent Categories" (LCReg), Eq. 1 to 3.

    Args:
        num_latents (int): Number of latent categories ``M``.
        channels (int): Length of the image features and of the latent features ``D``.
        sim_temperature (float): Divides the similarities before the softmax over latent categories. At 1, the paper's
            sigmoid and softmax in a row leave the weights between 1 and e of each other; less sharpens them. Defaults
            to 1.0.

    Raises:
        UserInputError: If the number or the temperature is not positive.

    Examples:
        >>> pool = LatentPool(num_latents=50, channels=64)
        >>> latents = pool()
        >>> weights = pool.assign(features, latents)
        >>> reconstructed = weights @ latents
    """

    def __init__(self, num_latents: int, channels: int, sim_temperature: float = 1.0) -> None:
        super().__init__()
        if num_latents < 1 or sim_temperature <= 0:
            raise UserInputError(
                f"num_latents={num_latents} must be 1 or more and sim_temperature={sim_temperature} positive."
            )
        self.sim_temperature = sim_temperature
        self.latents = nn.Parameter(torch.empty(num_latents, channels))
        self.encoder = nn.Linear(channels, channels)  # a 1x1 convolution over M places is a linear layer
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw latent features of length 1 on average, and PyTorch's default weights of the layer."""
        nn.init.normal_(self.latents, std=self.latents.shape[1] ** -0.5)
        self.encoder.reset_parameters()

    def forward(self) -> Tensor:
        """Encode the latent features.

        Returns:
            Tensor: Encoded latent features, shape ``(M, D)``.
        """
        return self.encoder(self.latents)

    def similarity(self, features: Tensor, latents: Tensor) -> Tensor:
        r"""Similarity of image features to latent categories (Eq. 1), :math:`S^m = \sigma(f^\top f'_m)`.

        Args:
            features (Tensor): Image features, shape ``(..., D)``.
            latents (Tensor): Encoded latent features, shape ``(M, D)``.

        Returns:
            Tensor: Similarities from 0 to 1, shape ``(..., M)``, in float32 (or float64) even under autocast.
        """
        dtype = torch.promote_types(features.dtype, torch.float32)
        with torch.autocast(features.device.type, enabled=False):
            return torch.sigmoid(features.to(dtype) @ latents.to(dtype).T)

    def assign(self, features: Tensor, latents: Tensor) -> Tensor:
        """Softmax of the similarities over latent categories (Eq. 2).

        Args:
            features (Tensor): Image features, shape ``(..., D)``.
            latents (Tensor): Encoded latent features, shape ``(M, D)``.

        Returns:
            Tensor: Weights that sum to 1 over the latent categories, shape ``(..., M)``.
        """
        return (self.similarity(features, latents) / self.sim_temperature).softmax(dim=-1)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"num_latents={len(self.latents)}, sim_temperature={self.sim_temperature}"
