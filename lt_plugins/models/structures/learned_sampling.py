"""Sampling weights of classes that are learned by looking a step ahead (the meta sampler of BALMS)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError

MAX_NUMBERS = 2**24  # random numbers at a time: 64 MB
BETAS, EPS = (0.9, 0.999), 1e-8  # of Adam


def soft_selection(logits: Tensor, labels: Tensor, first: Tensor, sums: Tensor) -> Tensor:
    r"""Soft probability of each drawn image, of the Gumbel-softmax that it is the hard choice of.

    .. math::
        r_b = \frac{p_{y_b} e^{g_{bk}}}{\sum_i p_{y_i} e^{g_{bi}}}
            = \frac{p_{y_b} e^{g_{bk}}}{\sum_c p_c \sum_{i : y_i = c} e^{g_{bi}}}, \qquad p_c = \sigma(\psi_c)

    with Gumbel noise :math:`g_{bi}` of draw ``b`` and image ``i``, the largest of whose :math:`\log p_{y_i} + g_{bi}`
    is that of the drawn image ``k``. Source: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition"
    (NeurIPS 2020), section 3.3.

    Args:
        logits (Tensor): :math:`\psi`, shape ``(C,)``; gradient flows to them.
        labels (Tensor): Class of each drawn image, int64 ``(B,)``.
        first (Tensor): :math:`e^{g_{bk}}`, shape ``(B,)``.
        sums (Tensor): :math:`\sum_{i : y_i = c} e^{g_{bi}}`, shape ``(B, C)``.

    Returns:
        Tensor: Shape ``(B,)``, from 0 to 1.
    """
    weights = torch.sigmoid(logits)
    return weights[labels] * first / (sums @ weights)


class LearnedSampling(nn.Module):
    r"""Sampling weights of classes :math:`p_c = \sigma(\psi_c)`, and Adam's state of their learning.

    An image is drawn, with replacement, with a probability proportional to the weight of its class. The draws of an
    epoch follow the weights at its beginning, ``drawn``.

    Args:
        num_classes (int): Number of classes ``C``.
        lr (float): Learning rate of Adam. Defaults to 0.01.
        init_power (float): Initial weights are proportional to :math:`n_c^{-q}` with this ``q``; with 0 all are 0.5.
            Defaults to 0.0.

    Attributes:
        logits (Tensor): :math:`\psi`, shape ``(C,)``.
        drawn (Tensor): :math:`\psi` at the beginning of the epoch, shape ``(C,)``.
        num_steps (Tensor): Steps that Adam has taken, a scalar.

    Raises:
        UserInputError: If a number is out of range.
    """

    logits: Tensor
    drawn: Tensor
    mean: Tensor
    square: Tensor
    num_steps: Tensor

    def __init__(self, num_classes: int, lr: float = 0.01, init_power: float = 0.0) -> None:
        super().__init__()
        if not lr >= 0 or not init_power >= 0:
            raise UserInputError(f"lr={lr} and init_power={init_power} of the meta sampler must be 0 or more.")
        self.lr = lr
        self.init_power = init_power
        for name in ("logits", "drawn", "mean", "square"):
            self.register_buffer(name, torch.zeros(num_classes))
        self.register_buffer("num_steps", torch.zeros(()))
        self._classes: Tensor | None = None

    @property
    def weights(self) -> Tensor:
        """Weights of the draws of this epoch, shape ``(C,)``."""
        return torch.sigmoid(self.drawn)

    def begin_epoch(self, counts: Tensor) -> None:
        """Fix the weights that images are drawn by; before the first step they follow from the class counts.

        Args:
            counts (Tensor): Training images of each class, int64 ``(C,)``.
        """
        if self.init_power and not bool(self.num_steps):
            # In the released code the smallest and the largest weight add up to 1.
            weights = counts.clamp(min=1).double().pow(-self.init_power)
            self.logits.copy_(torch.logit(weights / (weights.min() + weights.max())))
        self.drawn.copy_(self.logits)
        self._classes = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)

    def draw_noise(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        r"""Draw the Gumbel noise of all images, given which one was drawn.

        :math:`e^{-g}` is exponential; the draw takes the image with the least :math:`E_i = e^{-g_i} / p_i`. This least
        value :math:`T` is exponential with the rate :math:`\sum_i p_i`, whichever image it is of, and the others exceed
        it by exponential variates again. So the noise is drawn after the fact, on the device, in its exact
        distribution. It takes ``B N`` random numbers, a chunk at a time.

        Args:
            labels (Tensor): Class of each drawn image, int64 ``(B,)``.

        Returns:
            tuple[Tensor, Tensor]: ``first (B,)`` and ``sums (B, C)`` of :func:`soft_selection`.

        Raises:
            UserInputError: If :meth:`begin_epoch` was not called.
        """
        if self._classes is None:
            raise UserInputError(
                "the meta sampler does not know the epoch: add epoch=dict(type='EpochHook') to default_hooks, or call "
                "set_epoch(epoch, max_epochs) of its head."
            )
        classes = self._classes
        weights = self.weights
        of_image = weights[classes]
        least = torch.empty_like(labels, dtype=weights.dtype).exponential_() / of_image.sum()
        first = 1 / (weights[labels] * least)
        # Where each class begins: the place of one of its images that stands for the drawn one.
        places = torch.searchsorted(classes, labels)
        sums = weights.new_zeros(len(labels), len(weights))
        for rows in torch.arange(len(labels), device=labels.device).split(max(1, MAX_NUMBERS // len(classes))):
            noise = weights.new_empty(len(rows), len(classes)).exponential_()
            values = 1 / (of_image * least[rows, None] + noise)
            values.scatter_(1, places[rows, None], first[rows, None])
            sums[rows] = values.new_zeros(len(rows), len(weights)).index_add_(1, classes, values)
        return first, sums

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Take a step of Adam; one with a gradient that is not finite is left out, without asking the device.

        Args:
            gradient (Tensor): Meta-gradient, shape ``(C,)``, the same on every process.
        """
        steps = self.num_steps + 1
        mean = torch.lerp(gradient, self.mean, BETAS[0])
        square = torch.lerp(gradient.square(), self.square, BETAS[1])
        spread = (square / (1 - BETAS[1] ** steps)).sqrt() + EPS
        logits = self.logits - self.lr * mean / (1 - BETAS[0] ** steps) / spread
        is_finite = gradient.isfinite().all()
        names = ("logits", "mean", "square", "num_steps")
        for name, value in zip(names, (logits, mean, square, steps), strict=True):
            known = getattr(self, name)
            known.copy_(torch.where(is_finite, value, known))

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"lr={self.lr}, init_power={self.init_power}"
