"""Probabilistic contrastive loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.distributed import rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution, ContrastBatch, StatesCall
from lt_plugins.models.von_mises_fisher import ClassDirections, log_bessel
from lt_plugins.registry import MODELS


def expected_similarity(features: Tensor, directions: Tensor, kappa: Tensor, temperature: float) -> Tensor:
    r"""Log of the expected exponential similarity of features to von Mises-Fisher distributions, in closed form.

    With :math:`\mathcal{C}_p(\kappa) = \frac{\kappa^\nu}{(2 \pi)^{p / 2} I_\nu(\kappa)}` and :math:`\nu = p / 2 - 1`,

    .. math::
        \ell_c(v) = \log \mathbb{E}_{\tilde v \sim \mathrm{vMF}(\mu_c, \kappa_c)} e^{v^\top \tilde v / T}
                  = \log \frac{\mathcal{C}_p(\kappa_c)}{\mathcal{C}_p(\tilde\kappa_c)}, \qquad
        \tilde\kappa_c = \|\kappa_c \mu_c + v / T\|

    The length is taken from :math:`\mu_c^\top v`, so that nothing of shape ``(M, C, p)`` is built.

    Args:
        features (Tensor): :math:`v`, unit rows, shape ``(M, p)``; gradient flows to them.
        directions (Tensor): :math:`\mu`, unit rows, shape ``(C, p)``, float64.
        kappa (Tensor): :math:`\kappa`, shape ``(C,)``, float64.
        temperature (float): ``T``.

    Returns:
        Tensor: Shape ``(M, C)``, float64.
    """
    dim, inverse = features.shape[1], 1 / temperature
    with torch.autocast(features.device.type, enabled=False):
        # (kappa - 1/T)^2 + 2 kappa / T (1 + cos): a square of the length that rounding leaves positive.
        beyond = (1 + features.double() @ directions.T).clamp(min=1e-12)
        shifted = ((kappa - inverse).square() + 2 * inverse * kappa * beyond).sqrt()
        return log_bessel(shifted, dim) - log_bessel(kappa, dim)


@MODELS.register_module()
class ProCoLoss(StatesCall):
    r"""Probabilistic contrastive loss: compares features with a von Mises-Fisher distribution of each class.

    With :func:`expected_similarity` :math:`\ell_c` and the class priors :math:`\pi`,

    .. math::
        L = \frac{1}{2} \sum_{j = 1, 2} \mathrm{CE}(\ell(v_j) + \log \pi, y)

    which is what a supervised contrastive loss tends to as more and more candidates of each class are drawn; no queue
    and no large batch is needed. The distributions are those of :class:`ClassDirections`, without gradient: the first
    views of all processes enter it before the loss of the first views, and the second views before that of the second.
    In evaluation mode none enters. It needs the counts of the classes (``ClassDistributionHook`` sets them, else
    ``loss.class_distribution.set_counts()``); a class without images leaves the loss.

    The Bessel functions are computed in float64 by an expansion that holds for every :math:`\kappa`. The recurrence of
    the released code, and with it its gradient, is wrong for compact classes: at :math:`p = 128` from a mean length
    :math:`R` of about 0.98 on.

    Source: Du et al., "Probabilistic Contrastive Learning for Long-Tailed Visual Recognition" (TPAMI 2024). Its weight
    (:math:`\alpha = 1`) beside the logit-adjusted cross-entropy of the classifier is the head's.

    Args:
        dim (int): Length of the projections :math:`p`.
        num_classes (int): Number of classes :math:`C`.
        temperature (float): Temperature ``T``; 0.1 on CIFAR. Defaults to 0.07.

    Raises:
        UserInputError: If the temperature is not positive or a number too small.

    Examples:
        >>> loss = ProCoLoss(dim=128, num_classes=3, temperature=0.1)
        >>> loss.class_distribution.set_counts([100, 10, 1])
        >>> loss.directions.set_epoch(epoch, max_epochs=200)
        >>> contrast = ContrastBatch.from_views(projector(features_1), projector(features_2), labels)
        >>> value = loss(contrast)
    """

    call = "loss(ContrastBatch.from_views(view_1, view_2, labels))"

    needs_one_label = True

    def __init__(self, dim: int, num_classes: int, temperature: float = 0.07) -> None:
        super().__init__()
        if not 0 < temperature < float("inf"):
            raise UserInputError(f"temperature={temperature} must be positive, like 0.1.")
        self.temperature = temperature
        self.directions = ClassDirections(dim, num_classes)
        self.class_distribution = ClassDistribution(num_classes)

    def forward(self, contrast: ContrastBatch) -> Tensor:
        """Compute the mean loss over both views; in training they enter the distributions.

        Args:
            contrast (ContrastBatch): Both views of each image as anchors, those of all processes as candidates, as
                :meth:`ContrastBatch.from_views` makes it without a queue.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).

        Raises:
            UserInputError: If the contrast is another, or the numbers of classes or the length of features differ.
        """
        size, length = len(contrast.anchors) * rank_and_world_size()[1], self.directions.mean.shape[1]
        if contrast.candidates.shape != (size, length):
            raise UserInputError(
                f"ProCoLoss got candidates of shape {tuple(contrast.candidates.shape)} and expected {(size, length)}: "
                "both views of the batch of all processes, without queue or prototypes, of length dim."
            )
        labels = contrast.candidate_labels[: size // 2]
        views = contrast.candidates.detach().chunk(2)
        read = self.directions.directions_and_kappa
        distributions = self.directions.update(views, labels) if self.training else [read(), read()]
        log_priors = self.class_distribution.log_priors()
        losses = []
        for anchors, (mean, kappa) in zip(contrast.anchors.chunk(2), distributions, strict=True):
            logits = expected_similarity(anchors, mean, kappa, self.temperature) + log_priors
            losses.append(F.cross_entropy(logits, contrast.anchor_labels[: len(anchors)]))
        return torch.stack(losses).mean().to(torch.promote_types(contrast.anchors.dtype, torch.float32))
