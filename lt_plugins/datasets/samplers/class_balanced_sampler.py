"""Class-balanced sampler and its relatives: images with replacement, classes by a power of their size."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from lt_plugins.datasets.samplers.epoch_sampler import EpochSampler
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.registry import DATA_SAMPLERS

RULES = ("power", "effective_number")


@DATA_SAMPLERS.register_module()
class ClassBalancedSampler(EpochSampler):
    r"""Class-balanced sampler: draws images with replacement, by default from each class equally often.

    A draw is of class ``c`` with probability :math:`p_c`, and of each of its :math:`n_c` images equally often. Classes
    without images are left out.

    * ``rule="power"``: :math:`p_c \propto n_c^q` with the power ``q``: 1 instance-balanced, 0.5 square-root sampling, 0
      class-balanced (each image weighs :math:`1 / n_c`), -1 the reversed sampler of BBN
    * ``rule="effective_number"``: each image weighs :math:`(1 - \beta) / (1 - \beta^{n_c})`, so :math:`p_c` is
      proportional to :math:`n_c` times that

    With ``progressive`` the epoch ``t`` of ``T`` mixes instance-balanced draws with those of the rule:
    :math:`p_c(t) = (1 - t / T) \, n_c / N + (t / T) \, p_c`.

    Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition" (ICLR 2020), Eq. 1 and 2
    (power, progressive); Zhou et al., "BBN" (CVPR 2020), Eq. 5 and 6 (reversed); Cui et al., "Class-Balanced Loss Based
    on Effective Number of Samples" (CVPR 2019), Eq. 2 (effective number, there of a loss).

    Args:
        dataset: A dataset in any nesting of wrappers, or its labels as an array or tensor ``(N,)``, see
            :func:`~lt_plugins.datasets.labels.get_labels`.
        power (float): The power ``q``. Defaults to 0.0.
        rule (str): What the probability of a class follows from, ``"power"`` or ``"effective_number"``. Defaults to
            ``"power"``.
        beta (float): :math:`\beta` of the effective number, from 0 (instance-balanced) to just below 1
            (class-balanced). Defaults to 0.9999.
        progressive (bool): Whether the draws go over from instance-balanced ones during the training, with the epochs
            that ``EpochHook``, or a loop of your own, gives to :meth:`set_epoch`. Defaults to False.
        num_samples (int, optional): Draws an epoch, of all ranks together; rounded up so that each rank has the same
            number. Defaults to the size of the dataset.
        seed (int, optional): The same on all ranks. Defaults to one drawn from torch's global generator.

    Raises:
        UserInputError: If an argument is out of range or unknown, a power is given for another rule, or the dataset is
            empty or has no labels.

    Examples:
        >>> train_dataloader = dict(sampler=dict(type='ClassBalancedSampler', power=0.5))
        >>> loader = DataLoader(dataset, batch_size=128, sampler=ClassBalancedSampler(labels))
    """

    def __init__(
        self,
        dataset: Any,
        power: float = 0.0,
        rule: Literal["power", "effective_number"] = "power",
        beta: float = 0.9999,
        progressive: bool = False,
        num_samples: int | None = None,
        seed: int | None = None,
    ) -> None:
        if rule not in RULES:
            raise UserInputError(f"rule={rule!r} is unknown; give one of {', '.join(RULES)}.")
        if not math.isfinite(power) or (power and rule != "power"):
            raise UserInputError(f"power={power} must be a finite number, like 0.5, and belongs to rule='power'.")
        if not 0 <= beta < 1:
            raise UserInputError(f"beta={beta} must be in [0, 1), like 0.9999.")
        super().__init__(dataset, num_samples, seed)
        self.power = power
        self.rule = rule
        self.beta = beta
        self.progressive = progressive
        _, self.class_of, self.counts = np.unique(self.labels, return_inverse=True, return_counts=True)

    def class_probabilities(self) -> np.ndarray:
        """Probability of each class that has images, in ascending order of labels, in this epoch.

        Returns:
            numpy.ndarray: Shape ``(C,)``, float64, sum 1.

        Raises:
            UserInputError: If the sampler is progressive and the number of epochs is unknown.
        """
        if self.rule == "power":
            logarithms = self.power * np.log(self.counts)
            target = np.exp(logarithms - logarithms.max())
        else:
            distribution = ClassDistribution()
            distribution.set_counts(self.counts.tolist())
            target = self.counts * distribution.class_balanced_weights(self.beta).numpy()
        target /= target.sum()
        if not self.progressive:
            return target
        if self.max_epochs is None:
            raise UserInputError(
                "ClassBalancedSampler(progressive=True) does not know the number of epochs: add "
                "epoch=dict(type='EpochHook') to default_hooks, or call set_epoch(epoch, max_epochs)."
            )
        share = self.epoch / self.max_epochs
        return (1 - share) * self.counts / self.counts.sum() + share * target

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Draw the images of an epoch.

        Args:
            generator (numpy.random.Generator): Seeded with seed and epoch, the same on all ranks.

        Returns:
            numpy.ndarray: Indices in the dataset, int64, shape ``(total_size,)``.
        """
        probabilities = (self.class_probabilities() / self.counts)[self.class_of]
        return generator.choice(len(probabilities), size=self.total_size, p=probabilities)
