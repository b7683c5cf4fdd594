"""Major-to-minor translation: seeds among the images of more frequent classes, and descent on their pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def draw_seeds(counts: Tensor, beta: float, draws: Tensor) -> tuple[Tensor, Tensor]:
    r"""Draw for each image another one of its batch, of a more frequent class, as seed of a translation.

    For an image of a class of :math:`n_k` images, one of a class of :math:`n_{k_0}` is drawn in proportion to
    :math:`1 - \beta^{(n_{k_0} - n_k)^+}`. This is also the probability that its translation is accepted.

    Source: Kim et al., "M2m: Imbalanced Classification via Major-to-minor Translation" (CVPR 2020) and its released
    code.

    Args:
        counts (Tensor): Training images of the class of each image, float64 ``(B,)``.
        beta (float): :math:`\beta`, from 0 (any more frequent class) to below 1 (in proportion to the difference).
        draws (Tensor): Uniform in ``[0, 1)``, float64 ``(B,)``; an image has the seed at which the cumulated
            probabilities of its row pass them.

    Returns:
        tuple[Tensor, Tensor]: Position of the seed in the batch, int64 ``(B,)``; and the probability to accept it,
        float64 ``(B,)``, which is 0 where the batch has no more frequent class and the position means nothing.
    """
    chances = 1 - beta ** (counts - counts[:, None]).clamp(min=0)  # [b, s]: of seed s for image b
    cumulated = chances.cumsum(dim=1)
    seeds = (cumulated <= draws[:, None] * cumulated[:, -1:]).sum(dim=1).clamp(max=len(counts) - 1)
    return seeds, chances.gather(1, seeds[:, None])[:, 0]


def perturb(pixels: Tensor, max_norm: float) -> Tensor:
    """Add random noise of a bounded l2 norm to each image: uniform in ``[-0.5, 0.5)``, shortened to the bound.

    Args:
        pixels (Tensor): Images in ``[0, 1]``, shape ``(B, 3, H, W)``.
        max_norm (float): The bound.

    Returns:
        Tensor: Shape ``(B, 3, H, W)``, in ``[0, 1]``.
    """
    noise = torch.rand_like(pixels) - 0.5
    return (pixels + noise * (max_norm / l2_norms(noise).clamp(min=1e-12)).clamp(max=1)).clamp(0, 1)


def descend(pixels: Tensor, objective: Callable[[Tensor], Tensor], num_steps: int, step_size: float) -> Tensor:
    """Lower an objective of each image by gradient steps of a fixed l2 length on its pixels.

    Args:
        pixels (Tensor): Images in ``[0, 1]``, shape ``(B, 3, H, W)``; no gradient flows into them.
        objective (Callable): Gives for images ``(B, 3, H, W)`` a number each, ``(B,)``, that depends on no other image.
        num_steps (int): Number of steps.
        step_size (float): Length of a step before its end is brought back to ``[0, 1]``.

    Returns:
        Tensor: Shape ``(B, 3, H, W)``, in ``[0, 1]``. An image without gradient stays where it is.
    """
    pixels = pixels.detach()
    for _ in range(num_steps):
        with torch.enable_grad():
            leaf = pixels.requires_grad_()
            # The sum over a batch is of independent images; nothing but the images gets a gradient.
            [gradient] = torch.autograd.grad(objective(leaf).sum(), [leaf])
        pixels = (leaf.detach() - step_size * gradient / (l2_norms(gradient) + 1e-10)).clamp(0, 1)
    return pixels


def l2_norms(images: Tensor) -> Tensor:
    """l2 norm of each image ``(B, 3, H, W)``, shape ``(B, 1, 1, 1)``."""
    return torch.linalg.vector_norm(images, dim=(1, 2, 3), keepdim=True)
