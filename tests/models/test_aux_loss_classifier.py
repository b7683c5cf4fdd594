"""Auxiliary losses beside any head: what they are given, in runs, in later stages, and scaled with a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from lt_plugins.engine.runner_parts import averaged_models
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch
from lt_plugins.runs.config import load_config, load_stages
from lt_plugins.runs.schedule import fit_schedule, shorten_training
from tests import battery
from tests.small_runs import MakeRunner
from tests.tool_process import ROOT

SIZES = {"num_classes": 4, "in_channels": 64}
LABELS = torch.tensor([0, 1, 2, 3, 1, 0])
HEADS = ["LinearHead", "CosineClsHead", "TDEHead", "ISDAHead", "LWSClsHead"]
CENTER = {"type": "CenterLoss", "weights": 0.1}
AUX = {"center": CENTER, "irm": {"type": "IRMPenalty"}}


class Observer(nn.Module):
    """Notes what it is given, and adds no loss."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Any, ...]] = []

    def forward(self, *given: Any) -> None:
        self.given.append(given)


def build(head: dict[str, Any] | None = None, **settings: Any) -> Any:
    return MODELS.build(
        {
            "type": "AuxLossClassifier",
            "aux_losses": AUX,
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "neck": {"type": "GlobalAveragePooling"},
            "head": {"type": "LinearHead", **SIZES, **(head or {})},
            **settings,
        }
    )


def images() -> Tensor:
    return battery.noise(len(LABELS), 3, 32, 32)


@pytest.mark.parametrize("head", HEADS)
def test_they_see_what_the_head_classifies_and_its_logits(head: str) -> None:
    model = build({"type": head}, num_environments=2)
    battery.set_counts(model)
    model.aux_losses["seen"] = observer = Observer()
    calls: list[Tensor] = []
    model.head.register_forward_hook(lambda module, inputs, output: calls.append(output))
    losses = model.loss(images(), LabelBatch(LABELS))
    assert [*losses] == ["loss", "loss_center", "loss_irm"]
    assert len(calls) == 1, "the logits are computed once"
    ((features, logits, samples, environments),) = observer.given
    assert logits is calls[0]
    assert (environments, samples.labels.tolist()) == (2, LABELS.tolist())
    model.eval()
    model.head.train()
    feats = model.neck(model.backbone(images()))
    assert features.shape == model.head.pre_logits(feats).shape == (6, 64)
    torch.testing.assert_close(model.head.classify(features), logits)


def test_they_see_the_features_and_logits_of_all_experts() -> None:
    model = build(
        {"type": "MultiExpertHead", "num_experts": 3, "expert": {"type": "LinearHead"}},
        backbone={"type": "CIFARResNet", "depth": 20, "num_experts": 3},
    )
    battery.set_counts(model)
    model.aux_losses["seen"] = observer = Observer()
    losses = model.loss(images(), LabelBatch(LABELS))
    ((features, logits, *_),) = observer.given
    assert (features.shape, logits.shape) == ((6, 3 * 64), (6, 3, 4))
    feats = model.neck(model.backbone(images()))
    torch.testing.assert_close(features, torch.cat(list(feats), dim=1))
    assert model.aux_losses["center"].centres.shape == (4, 3 * 64)
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_values_are_those_of_head_and_losses_by_themselves() -> None:
    model = build()
    plain = MODELS.build({"type": "ImageClassifier", **PLAIN})
    plain.load_state_dict(model.state_dict(), strict=False)
    losses = model.loss(images(), LabelBatch(LABELS))
    alone = plain.loss(images(), LabelBatch(LABELS))
    assert torch.equal(losses["loss"], alone["loss"])
    feats = plain.neck(plain.backbone(images()))
    center, irm = MODELS.build(CENTER), MODELS.build(AUX["irm"])
    for name, aux in (("center", center), ("irm", irm)):
        torch.testing.assert_close(losses[f"loss_{name}"], aux(feats[-1], plain.head(feats), LabelBatch(LABELS), 1))


PLAIN: dict[str, Any] = {
    "backbone": {"type": "CIFARResNet", "depth": 20},
    "neck": {"type": "GlobalAveragePooling"},
    "head": {"type": "LinearHead", **SIZES},
}


def test_names_of_the_plain_classifier_stay() -> None:
    plain = MODELS.build({"type": "ImageClassifier", **PLAIN}).state_dict()
    aux = build().state_dict()
    assert {name for name in aux if not name.startswith("aux_losses.")} == {*plain}
    assert [name for name in aux if name.startswith("aux_losses.")] == ["aux_losses.center.centres"]


def test_batches_and_settings_without_meaning_are_refused() -> None:
    with pytest.raises(UserInputError, match="a batch of 6 images does not split into num_environments=4"):
        build(num_environments=4).loss(images(), LabelBatch(LABELS))
    with pytest.raises(UserInputError, match="num_environments=0 must be 1 or more"):
        build(num_environments=0)


CENTER_RUN: dict[str, Any] = {
    "model.type": "AuxLossClassifier",
    "model.num_environments": 2,
    "model.aux_losses": {
        "center": {"type": "CenterLoss", "update": "batch", "weights": [(1, 0.01), (2, 0.1)]},
        "irm": {"type": "IRMPenalty"},
    },
    "train_dataloader.batch_sampler": {"type": "CompanionBatchSampler", "companions": [{"type": "EnvironmentSampler"}]},
    "train_dataloader.batch_size": 8,
    "default_hooks.checkpoint.max_keep_ckpts": 3,
    "log_level": "INFO",
}


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_run_and_a_resumed_one(make_runner: MakeRunner, accumulated: int) -> None:
    options = {**CENTER_RUN, "optim_wrapper.accumulative_counts": accumulated}
    runner = make_runner(**options)
    runner.train()
    (log,) = Path(runner.work_dir).glob("*/*.log")
    text = log.read_text()
    assert "LinearHead with CrossEntropyLoss, CenterLoss, IRMPenalty)" in text
    assert [
        f"CenterLoss (aux_losses.center) from epoch {epoch + 1} on: weight {weight}." in text
        for epoch, weight in ((0, "0"), (1, "0.01"), (2, "0.1"))
    ] == [True] * 3
    resumed = make_runner(**options, resume=True, load_from=f"{runner.work_dir}/epoch_2.pth")
    resumed.train()
    states = runner.model.state_dict(), resumed.model.state_dict()
    assert states[0]["aux_losses.center.centres"].shape == (10, 64)
    assert [name for name, value in states[0].items() if not torch.equal(value, states[1][name])] == []


@pytest.mark.parametrize("update_buffers", [False, True])
def test_an_averaged_model_takes_the_centres_over(make_runner: MakeRunner, update_buffers: bool) -> None:
    """Which get their size in the first step."""
    ema = {"type": "EMAHook", "momentum": 0.5, "update_buffers": update_buffers}
    runner = make_runner(**{**CENTER_RUN, "default_hooks.ema": ema, "train_cfg.max_epochs": 1})
    runner.train()
    (average,) = averaged_models(runner)
    own = runner.model.aux_losses["center"].centres
    assert average.module.aux_losses["center"].centres.shape == own.shape == (10, 64)
    assert update_buffers != torch.equal(average.module.aux_losses["center"].centres, own)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"model.num_environments": 3},
            "AuxLossClassifier reads a batch in 3 parts, but it comes in 2, .*; set model.num_environments=2",
        ),
        (
            {"model.aux_losses": {}, "model.num_environments": 1},
            r"in 1 part, but it comes in 2, .*; set model\.num_env",
        ),
        (
            {"train_dataloader.batch_sampler": None},
            "reads a batch in 2 parts, but it comes in 1, .*; leave train_dataloader.batch_sampler out",
        ),
    ],
)
def test_environments_that_are_not_there_stop_a_run(
    make_runner: MakeRunner, overrides: dict[str, Any], message: str
) -> None:
    runner = make_runner(**{**CENTER_RUN, **overrides})
    with pytest.raises(UserInputError, match=message):
        runner.train()
    assert runner.iter == 0


def write_config(folder: Path, **weights: Any) -> str:
    path = folder / "center.py"
    path.write_text(
        f"_base_ = {str(ROOT / 'configs/ce/ce_r32_digits.py')!r}\n"
        f"model = dict(type='AuxLossClassifier', aux_losses={{'center': {{'type': 'CenterLoss', **{weights!r}}}}})\n"
    )
    return str(path)


def test_weights_are_scaled_with_the_training(tmp_path: Path, make_runner: MakeRunner) -> None:
    path = write_config(tmp_path, weights=[(0, 0.1), (18, 0.001), (24, 0.005)])

    def epochs(cfg: Any) -> list[Any]:
        return [list(pair) for pair in cfg.model.aux_losses.center.weights]

    cfg = load_config(path, overrides={"train_cfg.max_epochs": 60})
    assert epochs(cfg) == [[0, 0.1], [36, 0.001], [48, 0.005]]
    cfg = load_config(path)
    shorten_training(cfg, 3)
    assert (cfg.train_cfg.max_epochs, epochs(cfg)) == (10, [[0, 0.1], [6, 0.001], [8, 0.005]])
    assert (
        load_config(write_config(tmp_path, weights=1), {"train_cfg.max_epochs": 60}).model.aux_losses.center.weights
        == 1
    )
    late = {**CENTER_RUN, "model.aux_losses.center.weights": [(1, 0.1), (3, 0.2)]}
    runner = make_runner(**late)
    with pytest.raises(UserInputError, match=r"before model\.aux_losses\.center\.weights=\[.*\(CenterLoss\)"):
        fit_schedule(runner)


def test_a_stage_on_frozen_features_leaves_them_behind(tmp_path: Path) -> None:
    """cRT after it: its model has none of them, and takes backbone and neck of the checkpoint."""
    path = tmp_path / "crt.py"
    path.write_text(
        f"_base_ = {str(ROOT / 'configs/crt/crt_r32_digits.py')!r}\n"
        "model = dict(type='AuxLossClassifier', aux_losses=dict(center=dict(type='CenterLoss')))\n"
    )
    first, second = load_stages(str(path))
    assert first.model.type == "AuxLossClassifier"
    assert second.model.type == "FrozenBackboneClassifier"
    assert not {"aux_losses", "num_environments"} & {*second.model}
