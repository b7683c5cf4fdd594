"""How many experts of a routed network answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from lt_plugins.errors import UserInputError
from lt_plugins.registry import METRICS


@METRICS.register_module()
class ExpertUsage(BaseMetric):
    """Expert usage: how many experts of a :class:`.RoutedClassifier` a prediction is of.

    The log gets ``experts/mean``, and ``experts/asked_1``, ``experts/asked_2``, ..., the percentages of the images that
    the number of experts answered.

    Args:
        prefix (str | None): Prefix of the keys in the log. Defaults to ``'experts'``.

    Raises:
        UserInputError: If the model does not choose its experts.

    Example:
        >>> val_evaluator = [dict(type='ShotAccuracy'), dict(type='ExpertUsage')]
    """

    default_prefix = "experts"
    is_trial = False

    def __init__(self, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:  # noqa: ARG002
        """Note how many experts were asked.

        Args:
            data_batch (Any): Unused.
            data_samples (Sequence[dict]): Predictions with ``num_experts``.
        """
        for sample in data_samples:
            number = sample.get("num_experts", 1 if self.is_trial else None)
            if number is None:
                raise UserInputError(
                    "ExpertUsage counts the experts that a RoutedClassifier asks, and this model asks all; remove it."
                )
            self.results.append(int(number))

    def compute_metrics(self, results: list[int]) -> dict[str, float]:
        """Compute mean and percentages.

        Args:
            results (list[int]): Number of experts of each prediction.
        """
        shares = {
            f"asked_{number}": 100 * results.count(number) / len(results) for number in range(1, 1 + max(results))
        }
        return {"mean": sum(results) / len(results), **shares}
