"""ImbSAM and Focal-SAM equal steps by hand, and SAM or the optimiser alone where their shares are all alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmpretrain.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from lt_plugins.engine.optim_wrappers import FocalSAMOptimWrapper, ImbSAMOptimWrapper, SAMOptimWrapper
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import LDAMLoss, WeightedCrossEntropyLoss
from tests.engine.optim_wrappers.softmax_regression import (
    COUNTS,
    Descent,
    Regression,
    batches,
    check,
    mean_gradient,
    perturb,
    sgd,
)
from tests.gloo import run_gloo

RHO = 0.7
TAIL = np.array([0.0, 0.0, 1.0, 1.0])  # below 20 images, strictly
SHARES = 1.2 * (1 - np.array(COUNTS) / sum(COUNTS)) ** 1.5  # more than 1 for the rarest


def train(wrapper_type: type[OptimWrapper], loss: nn.Module | None = None, **settings: Any) -> Regression:
    model = Regression(loss)
    wrapper = wrapper_type(sgd(model), **settings)
    for batch in batches():
        model.train_step(batch, wrapper)
    return model


def assert_equal(one: Regression, other: Regression, exactly: bool = True) -> None:
    for actual, expected in zip(one.parameters(), other.parameters(), strict=True):
        tolerance = 0.0 if exactly else 1e-12
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def step_by_hand(descent: Descent, batch: dict[str, Tensor], shares: np.ndarray, weight: float) -> None:
    """Images of each class by their shares at perturbed weights, the rest at the weights as they are."""
    ascent = mean_gradient(descent.weights, batch, shares)
    moved = perturb(descent.weights, ascent, RHO)
    plain = mean_gradient(descent.weights, batch, 1 - shares)
    sharp = mean_gradient(moved, batch, weight * shares)
    descent.step([one + other for one, other in zip(plain, sharp, strict=True)])


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_imb_sam_by_hand(weight: float) -> None:
    """The second batch has no tail image: nothing is perturbed, and nothing is divided by 0."""
    model = Regression()
    wrapper = ImbSAMOptimWrapper(sgd(model), tail_threshold=20, tail_weight=weight, rho=RHO)
    descent = Descent(model)
    for batch in batches():
        model.train_step(batch, wrapper)
        step_by_hand(descent, batch, TAIL, weight)
        check(model, descent)


def test_focal_sam_by_hand() -> None:
    model = Regression()
    wrapper = FocalSAMOptimWrapper(sgd(model), gamma=1.5, scale=1.2, rho=RHO)
    descent = Descent(model)
    for batch in batches():
        model.train_step(batch, wrapper)
        step_by_hand(descent, batch, SHARES, 1.0)
        check(model, descent)


@pytest.mark.parametrize(
    ("wrapper", "settings"),
    [(ImbSAMOptimWrapper, {"tail_weight": 1.0}), (FocalSAMOptimWrapper, {"gamma": 2.0, "scale": 0.5})],
)
def test_without_a_radius(wrapper: type[OptimWrapper], settings: dict[str, Any]) -> None:
    """Bit for bit the optimiser; by two passes at the same weights up to rounding, as the gradient is in two parts."""
    plain = train(OptimWrapper)
    assert_equal(train(wrapper, rho=0.0, **settings), plain)
    assert_equal(train(wrapper, rho=1e-30, **settings), plain, exactly=False)


def test_tail_weight_without_a_radius_is_a_class_weight() -> None:
    weighted = WeightedCrossEntropyLoss(class_weight=[1.0, 1.0, 3.0, 3.0], normalize_by="batch")
    expected = train(OptimWrapper, weighted)
    for rho in (0.0, 1e-30):
        assert_equal(train(ImbSAMOptimWrapper, tail_weight=3.0, rho=rho), expected, exactly=False)


@pytest.mark.parametrize("loss", [WeightedCrossEntropyLoss, LDAMLoss])
def test_all_classes_alike_is_sam(loss: type[nn.Module]) -> None:
    settings = {"class_weight": "inverse", "normalize_by": "weights"}
    sam = train(SAMOptimWrapper, loss(**settings), rho=RHO)
    assert_equal(train(FocalSAMOptimWrapper, loss(**settings), gamma=0.0, scale=1.0, rho=RHO), sam)
    tail = {"tail_threshold": 1 + max(COUNTS), "tail_weight": 1.0}
    assert_equal(train(ImbSAMOptimWrapper, loss(**settings), **tail, rho=RHO), sam)


def test_mixed_images_count_by_both_of_their_classes() -> None:
    """The part of a mixture is that of its images by their shares, as the loss is."""
    model = Regression()
    wrapper = ImbSAMOptimWrapper(sgd(model), rho=0.0, tail_weight=3.0)
    other, plain = Regression(), Regression()
    weighted = other.head.loss_module = WeightedCrossEntropyLoss(
        class_weight=[1.0, 1.0, 3.0, 3.0], normalize_by="batch"
    )
    weighted.class_distribution.set_counts(COUNTS)
    inputs = batches()[0]["inputs"]
    shares = torch.tensor([[0.3, 0, 0.7, 0], [1, 0, 0, 0], [0, 0, 0.5, 0.5]] * 2, dtype=torch.float64)
    mixed = {"inputs": inputs, "labels": shares}
    model.train_step(mixed, wrapper)
    other.train_step(mixed, OptimWrapper(sgd(other)))
    assert_equal(model, other, exactly=False)
    plain.train_step(mixed, OptimWrapper(sgd(plain)))
    assert not torch.equal(next(model.parameters()), next(plain.parameters()))


def test_no_graph_outlives_its_step() -> None:
    loss: Any = train(ImbSAMOptimWrapper, rho=RHO).head.loss_module
    assert loss.class_part.whole is loss.class_part.part is None


# ------------------------------------------------------------------------------------------------ what cannot be split


@pytest.mark.parametrize("wrapper", [ImbSAMOptimWrapper, FocalSAMOptimWrapper])
def test_another_loss_is_refused_before_the_training(wrapper: type[OptimWrapper]) -> None:
    model = Regression(CrossEntropyLoss())
    with pytest.raises(
        UserInputError, match=rf"^{wrapper.__name__} splits the loss by class, which the CrossEntropyLoss"
    ):
        wrapper(sgd(model)).initialize_count_status(model, 0, 1)


class Scaled(Regression):
    """A head that does more to its loss."""

    def forward(self, inputs: Tensor, labels: Tensor, mode: str = "loss") -> dict[str, Tensor]:
        return {"loss": 0.5 * super().forward(inputs, labels, mode)["loss"]}


class Penalised(Regression):
    """A head with another term."""

    def forward(self, inputs: Tensor, labels: Tensor, mode: str = "loss") -> dict[str, Tensor]:
        losses = super().forward(inputs, labels, mode)
        return {**losses, "loss_penalty": self.head.fc.weight.square().sum()}


@pytest.mark.parametrize("model_type", [Scaled, Penalised])
def test_a_loss_that_is_not_the_whole_is_refused(model_type: type[Regression]) -> None:
    model = model_type()
    wrapper = ImbSAMOptimWrapper(sgd(model))
    with pytest.raises(UserInputError, match="has terms besides its LongTailLoss, or scales it; use SAMOptimWrapper"):
        model.train_step(batches()[0], wrapper)


def test_unknown_class_counts() -> None:
    model = Regression()
    model.head.loss_module = WeightedCrossEntropyLoss()
    for wrapper in (ImbSAMOptimWrapper(sgd(model)), FocalSAMOptimWrapper(sgd(model))):
        with pytest.raises(UserInputError, match="counts"):
            model.train_step(batches()[0], wrapper)


@pytest.mark.parametrize(
    ("wrapper", "settings", "message"),
    [
        (ImbSAMOptimWrapper, {"tail_threshold": 0}, "tail_threshold=0 and tail_weight=2.0 must be above 0"),
        (ImbSAMOptimWrapper, {"tail_weight": -1.0}, "tail_weight=-1.0 must be above 0"),
        (FocalSAMOptimWrapper, {"gamma": -1.0}, "gamma=-1.0 must be 0 or more"),
        (FocalSAMOptimWrapper, {"scale": 0.0}, "scale=0.0 above 0"),
    ],
)
def test_wrong_settings(wrapper: type[OptimWrapper], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        wrapper(sgd(Regression()), **settings)


# -------------------------------------------------------------------------------------------------- several processes


def train_rank() -> list[Tensor]:
    """Weights after steps on this rank's half of each batch."""
    model = Regression()
    wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)
    wrapper = ImbSAMOptimWrapper(sgd(model), rho=RHO)
    half = slice(None, None, 2) if torch.distributed.get_rank() == 0 else slice(1, None, 2)
    for batch in batches():
        wrapped.train_step({key: value[half] for key, value in batch.items()}, wrapper)
    return [parameter.detach() for parameter in model.parameters()]


def test_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    first, second = run_gloo(train_rank, folder=tmp_path)
    assert all(map(torch.equal, first, second))
    for actual, expected in zip(first, train(ImbSAMOptimWrapper, rho=RHO).parameters(), strict=True):
        torch.testing.assert_close(actual, expected.detach(), rtol=1e-12, atol=1e-13)
