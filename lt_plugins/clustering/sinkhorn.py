"""Sinkhorn-Knopp iteration: soft assignments that use all prototypes alike."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError


def sinkhorn_assignment(
    scores: Tensor, epsilon: float = 0.05, iterations: int = 3, counted: Tensor | None = None
) -> Tensor:
    r"""Sinkhorn-Knopp assignment: scales :math:`e^{S / \epsilon}` until prototypes share the samples equally.

    In turn each prototype is scaled to a share of :math:`1/K` of all samples, and each sample to a sum of 1. Everything
    is computed as logarithms, so that nothing overflows, and a prototype that is far from all samples still has a
    share.

    Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (NeurIPS 2020),
    Eq. 3-5, after Cuturi (NeurIPS 2013).

    Args:
        scores (Tensor): Similarities :math:`S` of ``B`` samples and ``K`` prototypes, ``(B, K)``, float32 or float64.
        epsilon (float): Temperature of the assignment; the smaller, the harder. Defaults to 0.05.
        iterations (int): How often prototypes and samples are scaled. Defaults to 3.
        counted (Tensor, optional): Samples that prototypes share, bool ``(B,)``; the others are assigned without
            weighing on them. Defaults to all.

    Returns:
        Tensor: Shares of the prototypes, ``(B, K)``; each row adds up to 1.

    Raises:
        UserInputError: If ``epsilon`` is not positive, or ``iterations`` less than 1.
    """
    check_sinkhorn_options(epsilon, iterations)
    logits = scores / epsilon
    for _ in range(iterations):
        weighing = logits if counted is None else logits.masked_fill(~counted[:, None], -torch.inf)
        logits = logits - weighing.logsumexp(dim=0, keepdim=True)
        logits = logits.log_softmax(dim=1)
    return logits.exp()


def check_sinkhorn_options(epsilon: float, iterations: int) -> None:
    """Refuse settings that no assignment can have.

    Args:
        epsilon (float): Temperature of the assignment.
        iterations (int): How often prototypes and samples are scaled.

    Raises:
        UserInputError: If ``epsilon`` is not positive, or ``iterations`` less than 1.
    """
    if not epsilon > 0:
        raise UserInputError(f"epsilon={epsilon} must be positive, like 0.05.")
    if iterations < 1:
        raise UserInputError(f"iterations={iterations} of Sinkhorn-Knopp must be 1 or more, like 3.")
