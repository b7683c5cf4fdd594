"""Sharpness-aware minimisation equals steps by hand, and without a radius the optimiser's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn

from lt_plugins.checks.training_settings import check_training_settings
from lt_plugins.engine.optim_wrappers import SAMOptimWrapper
from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_config, load_stages
from lt_plugins.runs.mixed_precision import use_mixed_precision
from tests.engine.optim_wrappers.softmax_regression import (
    COUNTS,
    LR,
    Descent,
    Regression,
    batches,
    check,
    mean_gradient,
    perturb,
    sgd,
)
from tests.gloo import run_gloo
from tests.small_runs import MakeRunner
from tests.tool_process import ROOT

ALL = np.ones(len(COUNTS))


def test_steps_by_hand() -> None:
    model = Regression()
    descent, wrapper = Descent(model), SAMOptimWrapper(sgd(model), rho=0.7)
    for batch in batches():
        model.train_step(batch, wrapper)
        ascent = mean_gradient(descent.weights, batch, ALL)
        descent.step(mean_gradient(perturb(descent.weights, ascent, 0.7), batch, ALL))
        check(model, descent)


def test_adaptive_steps_by_hand() -> None:
    model = Regression()
    descent, wrapper = Descent(model), SAMOptimWrapper(sgd(model), rho=0.7, adaptive=True)
    for batch in batches():
        model.train_step(batch, wrapper)
        ascent = mean_gradient(descent.weights, batch, ALL)
        norm = np.sqrt(sum(((w * g) ** 2).sum() for w, g in zip(descent.weights, ascent, strict=True)))
        moved = [w + 0.7 * w**2 * g / (norm + 1e-12) for w, g in zip(descent.weights, ascent, strict=True)]
        descent.step(mean_gradient(moved, batch, ALL))
        check(model, descent)


def test_clipping_is_of_the_second_gradient() -> None:
    model = Regression()
    descent, wrapper = Descent(model), SAMOptimWrapper(sgd(model), rho=0.7, clip_grad={"max_norm": 0.01})
    batch = batches()[0]
    model.train_step(batch, wrapper)
    ascent = mean_gradient(descent.weights, batch, ALL)
    gradient = mean_gradient(perturb(descent.weights, ascent, 0.7), batch, ALL)
    norm = np.sqrt(sum(float((part**2).sum()) for part in gradient))
    descent.step([part * 0.01 / (norm + 1e-6) for part in gradient])
    check(model, descent)


class Network(BaseModel):
    """Batch norm, dropout, a frozen layer and one that is not used."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 8), nn.Linear(8, 4)
        )
        self.layers[4].requires_grad_(False)
        self.unused = nn.Linear(2, 2)

    def forward(self, inputs: Tensor, labels: Tensor, mode: str = "loss") -> dict[str, Tensor]:
        assert mode == "loss"
        return {"loss": nn.functional.cross_entropy(self.layers(inputs), labels)}


def train(
    wrap: Callable[[torch.optim.Optimizer], OptimWrapper],
    steps: int = 4,
    prepare: Callable[[Network], None] = lambda model: None,
) -> dict[str, Tensor]:
    """Weights and buffers after some steps, of float32."""
    model = Network().train()
    prepare(model)
    wrapper = wrap(torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=0.01))
    for batch in batches(steps):
        model.train_step({**batch, "inputs": batch["inputs"].float()}, wrapper)
    return model.state_dict()


@pytest.mark.parametrize("rho", [0.0, 1e-30], ids=["one pass", "two passes at the same weights"])
def test_without_a_radius_bit_for_bit_the_optimiser(rho: float) -> None:
    expected = train(OptimWrapper)
    actual = train(lambda optimizer: SAMOptimWrapper(optimizer, rho=rho))
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name
    assert not torch.equal(train(SAMOptimWrapper)["layers.0.weight"], expected["layers.0.weight"])


def test_weights_come_back_bit_for_bit() -> None:
    model = Network().train()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    wrapper = SAMOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0), rho=3.0)
    for batch in batches():
        model.train_step({**batch, "inputs": batch["inputs"].float()}, wrapper)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_statistics_of_the_second_pass() -> None:
    """Of batch norms of the first layers alone, which no perturbation reaches, so that each update is the same."""
    once = train(OptimWrapper, steps=1)["layers.1.num_batches_tracked"]
    twice = train(lambda optimizer: SAMOptimWrapper(optimizer, bn="legacy"), steps=1)["layers.1.num_batches_tracked"]
    assert (int(once), int(twice)) == (1, 2)
    assert int(train(SAMOptimWrapper, steps=1)["layers.1.num_batches_tracked"]) == 1


def test_the_state_is_the_optimisers_own() -> None:
    """A wrapper that takes over the state in the middle goes on with the same bits."""
    model, resumed = Regression(), Regression()
    wrapper, other = (SAMOptimWrapper(sgd(one), rho=0.5) for one in (model, resumed))
    first, second, third, fourth = batches()
    for batch in (first, second):
        model.train_step(batch, wrapper)
    assert wrapper.state_dict().keys() == OptimWrapper(sgd(model)).state_dict().keys()
    resumed.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    for batch in (third, fourth):
        model.train_step(batch, wrapper)
        resumed.train_step(batch, other)
    assert all(map(torch.equal, model.parameters(), resumed.parameters()))


# ------------------------------------------------------------------------------------------------------------ phases


def test_phases() -> None:
    phases = [{"start": 5, "rho": 0.1}, {"start": 160, "rho": 0.5}]
    wrapper = SAMOptimWrapper(sgd(Regression()), rho=0.05, phases=phases)
    said = {epoch: wrapper.set_epoch(epoch, 200) for epoch in (199, 0, 4, 5, 159, 160)}  # a resumed run starts anywhere
    assert said == {
        0: "rho 0.05",
        4: "rho 0.05",
        5: "rho 0.1",
        159: "rho 0.1",
        160: "rho 0.5",
        199: "rho 0.5",
    }
    assert wrapper.rho == 0.5


def with_sam(**settings: Any) -> dict[str, Any]:
    return {f"optim_wrapper.{key}": value for key, value in {"type": "SAMOptimWrapper", **settings}.items()}


def test_a_run_goes_through_its_phases(make_runner: MakeRunner) -> None:
    phases = [{"start": 1, "rho": 0.3}]
    runner = make_runner(**with_sam(rho=0.1, phases=phases), **{"train_cfg.max_epochs": 2, "log_level": "INFO"})
    runner.train()
    (log,) = Path(runner.work_dir).glob("*/*.log")
    lines = [line for line in log.read_text().splitlines() if "(optim_wrapper)" in line]
    assert [line.partition("(optim_wrapper) ")[2] for line in lines] == [
        "from epoch 1 on: rho 0.1.",
        "from epoch 2 on: rho 0.3.",
    ]


def test_phases_follow_the_length_of_the_training() -> None:
    config = str(ROOT / "configs/sam/sam_r32_digits.py:drw")
    starts = {}
    for options in ({}, {"train_cfg.max_epochs": 10}, {"train_cfg.max_epochs": 10, "optim_wrapper.phases.0.start": 3}):
        (cfg,) = load_stages(config, options)
        starts[cfg.train_cfg.max_epochs, len(options)] = cfg.optim_wrapper.phases[0].start
    assert starts == {(30, 0): 24, (10, 1): 8, (10, 2): 3}, "what is given is for the length that is given"
    (shortened,) = load_stages(config, shorten=3)
    assert shortened.optim_wrapper.phases[0].start == shortened.model.head.loss.reweight_from == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rho": -0.1}, r"rho=\[-0\.1\] must be 0 or more"),
        ({"phases": [{"start": 3, "rho": -1}]}, r"rho=\[0\.05, -1\.0\] must be 0 or more"),
        ({"phases": [{"start": 9, "rho": 1}, {"start": 3, "rho": 1}]}, r"start at epochs \[9, 3\]; give whole numbers"),
        ({"phases": [{"start": 0, "rho": 1}]}, r"start at epochs \[0\]; give whole numbers above 0"),
        ({"phases": [{"start": 3}]}, r"must be a dict of its first epoch and radius"),
        ({"bn": "second"}, "bn='second' must be 'first_only' or 'legacy'"),
        ({"accumulative_counts": 4}, "accumulative_counts=4: SAMOptimWrapper perturbs the weights once a batch"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        SAMOptimWrapper(sgd(Regression()), **settings)


# ----------------------------------------------------------------------------------------------- what cannot work


def test_accumulation_is_refused_before_the_training() -> None:
    cfg = load_config(str(ROOT / "configs/ce/ce_r32_digits.py"), with_sam(accumulative_counts=4))
    with pytest.raises(UserInputError, match=r"^optim_wrapper\.accumulative_counts=4: SAMOptimWrapper passes each"):
        check_training_settings(cfg)


def test_mixed_precision_is_refused_before_the_training() -> None:
    cfg = load_config(str(ROOT / "configs/ce/ce_r32_digits.py"), with_sam())
    with pytest.raises(UserInputError, match=r"^--amp: SAMOptimWrapper takes its steps in float32"):
        use_mixed_precision(cfg, "auto")
    assert cfg.optim_wrapper.type == "SAMOptimWrapper"


def test_a_loss_of_another_context_is_refused() -> None:
    model = Regression()
    wrapper = SAMOptimWrapper(sgd(model))
    with pytest.raises(UserInputError, match=r"compute the loss inside of optim_wrapper\.optim_context\(model\)"):
        wrapper.update_params(model(**batches()[0])["loss"])


@MODEL_WRAPPERS.register_module()
class Sharded(nn.Module):
    """A wrapper whose processes hold parts of the weights."""


def test_sharded_weights_are_refused() -> None:
    wrapper = SAMOptimWrapper(sgd(Regression()))
    with pytest.raises(UserInputError, match="which Sharded does not have in each process"):
        wrapper.initialize_count_status(Sharded(), 0, 1)


# -------------------------------------------------------------------------------------------------- several processes


def train_rank(settings: dict[str, Any]) -> list[Tensor]:
    """Weights after steps on this rank's half of each batch."""
    model = Regression()
    wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)
    wrapper = SAMOptimWrapper(sgd(model), **settings)
    half = slice(None, None, 2) if torch.distributed.get_rank() == 0 else slice(1, None, 2)
    for batch in batches():
        wrapped.train_step({key: value[half] for key, value in batch.items()}, wrapper)
    return [parameter.detach() for parameter in model.parameters()]


def test_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    first, second = run_gloo(train_rank, {"rho": 0.7}, folder=tmp_path)
    assert all(map(torch.equal, first, second))
    model = Regression()
    wrapper = SAMOptimWrapper(sgd(model), rho=0.7)
    for batch in batches():
        model.train_step(batch, wrapper)
    for actual, expected in zip(first, model.parameters(), strict=True):
        torch.testing.assert_close(actual, expected.detach(), rtol=1e-12, atol=1e-13)


def test_m_sharpness_perturbs_by_the_images_of_a_process(tmp_path: Path) -> None:
    first, second = run_gloo(train_rank, {"rho": 0.7, "m_sharpness": True}, folder=tmp_path)
    assert all(map(torch.equal, first, second))
    descent = Descent(Regression())
    for batch in batches():
        gradients = []
        for half in (slice(None, None, 2), slice(1, None, 2)):
            part = {key: value[half] for key, value in batch.items()}
            moved = perturb(descent.weights, mean_gradient(descent.weights, part, ALL), 0.7)
            gradients.append(mean_gradient(moved, part, ALL))
        descent.step([(one + other) / 2 for one, other in zip(*gradients, strict=True)])
    for actual, expected in zip(first, descent.weights, strict=True):
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12, atol=1e-13)


# ------------------------------------------------------------------------------------------------------- whole models


def test_mixed_images_are_the_same_in_both_passes(make_runner: MakeRunner) -> None:
    """Mixup draws partners and shares once a step."""
    runner = make_runner(
        **with_sam(rho=0.1),
        **{"model.train_cfg": {"augments": {"type": "Mixup", "alpha": 1.0}}},
        **{"train_cfg.max_epochs": 1, "train_dataloader.batch_size": 16},
    )
    seen: list[tuple[Tensor, Tensor]] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if kwargs["mode"] == "loss":
            seen.append((kwargs["inputs"], kwargs["data_samples"].scores))

    runner.model.register_forward_pre_hook(note, with_kwargs=True)
    runner.train()
    assert len(seen) == 2 * len(runner.train_dataloader)
    for (first, shares), (second, again) in zip(seen[::2], seen[1::2], strict=True):
        assert second is first
        assert again is shares
        assert bool(((shares > 0) & (shares < 1)).any()) or len(shares) == 1


def test_compiled_backbone() -> None:
    """``--compile`` takes the backbone in place; what notes the batch is on the model around it."""
    wrap = partial(SAMOptimWrapper, rho=0.5)
    plain, compiled = train(wrap), train(wrap, prepare=lambda model: model.layers[:3].compile(backend="eager"))
    torch.compiler.reset()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, msg=name)
