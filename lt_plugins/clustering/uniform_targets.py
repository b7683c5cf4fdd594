"""Points that are spread uniformly over the sphere, as targets of classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError

LEARNING_RATE = 0.02


def uniform_targets(
    num_targets: int,
    dim: int,
    seed: int = 0,
    temperature: float = 0.07,
    num_steps: int = 2000,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniform targets: spreads points over the unit sphere, as far from each other as they can be.

    Up to ``dim + 1`` points are a regular simplex, whose cosines all are ``-1 / (num_targets - 1)``; more points are
    optimised by :func:`spread_points`.

    Source: Li et al., "Targeted Supervised Contrastive Learning for Long-Tailed Recognition" (CVPR 2022), section 3.1.

    Args:
        num_targets (int): Number of points ``C``.
        dim (int): Number of dimensions ``D``.
        seed (int): Decides how the simplex is turned, or where the optimisation starts. Defaults to 0.
        temperature (float): Temperature ``T`` of the optimisation. Defaults to 0.07.
        num_steps (int): Steps of the optimisation; 2000 of 1000 points take seconds on a GPU, minutes on a CPU.
            Defaults to 2000.
        device (torch.device | str): Where to optimise. Defaults to the CPU.

    Returns:
        Tensor: Unit rows in float32, shape ``(C, D)``.

    Raises:
        UserInputError: If a number is not positive.
    """
    if min(num_targets, dim, temperature) <= 0 or num_steps < 0:
        raise UserInputError(
            f"num_targets={num_targets}, dim={dim} and temperature={temperature} must be positive, num_steps="
            f"{num_steps} 0 or more."
        )
    if num_targets <= dim + 1:
        return regular_simplex(num_targets, dim, seed).to(device, torch.float32)
    start = torch.randn(num_targets, dim, generator=torch.Generator().manual_seed(seed))
    return spread_points(start.to(device), temperature, num_steps)


def regular_simplex(num_points: int, dim: int, seed: int = 0) -> Tensor:
    """Regular simplex: puts up to ``dim + 1`` points on the unit sphere, at the same angle to each other.

    Args:
        num_points (int): Number of points ``C``.
        dim (int): Number of dimensions ``D``, at least ``C - 1``.
        seed (int): Decides how it is turned. Defaults to 0.

    Returns:
        Tensor: Unit rows in float64, shape ``(C, D)``, whose sum is zero if there are two or more.

    Raises:
        UserInputError: If there is no such simplex.
    """
    if not 1 <= num_points <= dim + 1:
        raise UserInputError(f"num_points={num_points} of a regular simplex must be 1 to dim + 1 = {dim + 1}.")
    generator = torch.Generator().manual_seed(seed)
    axes = torch.randn(dim, max(num_points - 1, 1), generator=generator, dtype=torch.float64)
    if num_points == 1:
        return F.normalize(axes.T, dim=1)
    # The unit vectors of C dimensions, seen in the C - 1 that are orthogonal to their mean.
    mean_first = torch.ones(num_points, num_points, dtype=torch.float64)
    mean_first[:, 1:] = torch.eye(num_points, dtype=torch.float64)[:, 1:]
    plane = torch.linalg.qr(mean_first).Q[:, 1:]
    return F.normalize(plane @ torch.linalg.qr(axes).Q.T, dim=1)


def spread_points(start: Tensor, temperature: float = 0.07, num_steps: int = 2000) -> Tensor:
    r"""Minimise the energy of the pairs of points on the sphere, with Adam and a learning rate that falls to zero.

    .. math::
        \log \sum_i \sum_{j \ne i} e^{t_i^\top t_j / T}

    TSC states :math:`\frac{1}{C} \sum_i \log \sum_j e^{t_i^\top t_j / T}` with :math:`j = i` included, whose
    :math:`e^{1 / T}` is a million times what the other points add: the logarithm is linear over their range, and both
    have the same minimum. Only the gradient of that sum is too small for Adam, which stops far from the minimum.

    Args:
        start (Tensor): Where to start, rows of any length, shape ``(C, D)`` with ``C`` of two or more.
        temperature (float): ``T``. Defaults to 0.07.
        num_steps (int): Number of steps. Defaults to 2000.

    Returns:
        Tensor: Unit rows, shape ``(C, D)``.
    """
    rows = F.normalize(start.detach(), dim=1).requires_grad_()
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    optimizer = torch.optim.Adam([rows], lr=LEARNING_RATE)
    with torch.enable_grad(), torch.autocast(rows.device.type, enabled=False):  # wherever it is called
        for step in range(num_steps):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / num_steps)
            points = F.normalize(rows, dim=1)
            energy = (points @ points.T / temperature).masked_fill(itself, -torch.inf).flatten().logsumexp(dim=0)
            optimizer.zero_grad()
            energy.backward()
            optimizer.step()
    return F.normalize(rows.detach(), dim=1)
