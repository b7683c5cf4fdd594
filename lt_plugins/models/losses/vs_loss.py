"""Vector-scaling loss: logits with a factor and an offset a class."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.logit_adjustment_loss import logit_adjusted_cross_entropy
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.registry import MODELS


@MODELS.register_module()
class VectorScalingLoss(LongTailLoss):
    r"""Vector-scaling (VS) loss: the logits of rarer classes are scaled down and shifted down in training.

    .. math::
        \ell_i = -\log \frac{e^{\Delta_{y_i} z_{iy_i} + \iota_{y_i}}}{\sum_c e^{\Delta_c z_{ic} + \iota_c}}, \qquad
        \Delta_c = \Big(\frac{n_c}{n_{max}}\Big)^\gamma, \quad \iota_c = \tau \log \pi_c

    The network has to make up for both, which leaves rare classes a larger margin in the logits :math:`z` that are used
    at test time. With ``tau=0`` it is CDT (class-dependent temperatures), with ``gamma=0`` logit adjustment. It needs
    the counts of the classes (``ClassDistributionHook`` sets them, else ``loss.class_distribution.set_counts()``). A
    class without images has the factor of the rarest one; where ``tau`` is not 0, its prior takes it out of the
    softmax.

    The factors act on signed logits: they shrink a positive logit of a rare class and raise a negative one. What
    ``gamma`` does therefore depends on the zero of the logits. The published values are for a linear classifier with
    bias; cosines, and a scale that follows them, need others.

    Truncated logit adjustment (TLA): from epoch ``switch_from`` on, all factors are 1 and :math:`\tau` is ``late_tau``,
    so that logit adjustment alone is left. ``EpochHook`` calls :meth:`set_epoch` before each epoch. With weights by a
    power of the counts from the same epoch on, it is the full method of Wang et al.

    Sources: Kini et al., "Label-Imbalanced and Group-Sensitive Classification under Overparameterization" (NeurIPS
    2021, VS loss); Ye et al., "Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning"
    (arXiv:2001.01385, CDT); Wang et al., "A Unified Generalization Analysis of Re-Weighting and Logit-Adjustment for
    Imbalanced Learning" (NeurIPS 2023, TLA and ADRW).

    Args:
        gamma (float): Exponent of the factors :math:`\gamma`, 0 or more. Defaults to 0.05.
        tau (float): Strength of the offsets :math:`\tau`, 0 or more. Defaults to 1.0.
        switch_from (int, optional): First epoch of TLA, from 0; 320 of 400 in its paper's code. Defaults to None:
            never.
        late_tau (float, optional): :math:`\tau` from ``switch_from`` on. Defaults to None: ``tau``.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If an exponent, a strength or the epoch is negative, or ``late_tau`` comes without
            ``switch_from``.

    Examples:
        >>> loss = VectorScalingLoss(gamma=0.05, tau=1.0, switch_from=320, late_tau=0.75,
        ...                          class_weight="inverse_power", weight_power=0.25, reweight_from=320)
        >>> loss.class_distribution.set_counts([100, 10, 1])
        >>> loss.set_epoch(epoch, max_epochs=400)
        >>> value = loss(logits, labels)
    """

    def __init__(
        self,
        gamma: float = 0.05,
        tau: float = 1.0,
        switch_from: int | None = None,
        late_tau: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not (gamma >= 0 and tau >= 0):
            raise UserInputError(f"gamma={gamma} and tau={tau} must be 0 or more, like 0.05 and 1.")
        if late_tau is not None and not late_tau >= 0:
            raise UserInputError(f"late_tau={late_tau} must be 0 or more, like 0.75, or None for tau={tau}.")
        if switch_from is not None and switch_from < 0:
            raise UserInputError(f"switch_from={switch_from} must be an epoch from 0 on, or None for no second phase.")
        if late_tau is not None and switch_from is None:
            raise UserInputError(f"late_tau={late_tau} needs switch_from, the epoch from which it counts, like 320.")
        self.gamma = gamma
        self.tau = tau
        self.switch_from = switch_from
        self.late_tau = late_tau
        self.is_late = switch_from == 0

    def current_tau(self) -> float:
        """Strength of the offsets in this epoch."""
        return self.late_tau if self.is_late and self.late_tau is not None else self.tau

    def factors(self) -> Tensor:
        r"""Factor of each class in this epoch :math:`\Delta`, shape ``(C,)``, float64; 1 of the most frequent one."""
        counts = self.class_distribution.filled_counts()
        return (counts / counts.max()) ** (0.0 if self.is_late else self.gamma)

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of scaled and shifted logits, see :func:`logit_adjusted_cross_entropy`."""
        scaled = self.factors().to(logits) * logits
        return logit_adjusted_cross_entropy(scaled, labels, self.class_distribution.log_priors(), self.current_tau())

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the logits answer for, by the offsets alone, see :meth:`.LongTailLoss.trained_prior`."""
        return (
            super().trained_prior(sampled) / self.class_distribution.filled_counts().to(sampled) ** self.current_tau()
        )

    def set_epoch(self, epoch: int, max_epochs: int) -> str | None:
        """Take the class weights into force, and TLA.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str | None: The state of what changes, for the log.
        """
        states = [super().set_epoch(epoch, max_epochs)]
        if self.switch_from is not None:
            self.is_late = epoch >= self.switch_from
            states.append(f"logits times {self.factors().min():.3g} to 1, tau {self.current_tau():g}")
        return ", ".join(state for state in states if state) or None

    def extra_repr(self) -> str:
        """Show the settings."""
        late = "" if self.switch_from is None else f", switch_from={self.switch_from}, late_tau={self.late_tau}"
        return f"gamma={self.gamma}, tau={self.tau}{late}"
