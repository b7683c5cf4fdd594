"""Second stage of OLTR: what it takes from the first, what is frozen, and a run in two stages that is killed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmpretrain.registry import MODELS

from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch
from tests.battery import noise
from tests.small_runs import MakeRunner

ATTENTION = {"type": "ModulatedAttention", "in_channels": 64, "map_size": 8}
LINEAR = {"type": "LinearNeck", "in_channels": 64, "out_channels": 16, "norm_cfg": None, "act_cfg": {"type": "ReLU"}}
HEAD = {"type": "OLTRHead", "num_classes": 10, "in_channels": 64}
BACKBONE = {"type": "CIFARResNet", "depth": 20}
FIRST = {
    "type": "ImageClassifier",
    "backbone": BACKBONE,
    "neck": {"type": "GlobalAveragePooling"},
    "head": {"type": "LinearHead", "num_classes": 10, "in_channels": 64},
}
MODEL: dict[str, Any] = {"type": "OLTRClassifier", "backbone": BACKBONE, "neck": ATTENTION, "head": HEAD}


def build(cfg: dict[str, Any], **settings: Any) -> Any:
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy({**cfg, **settings}))
    model.init_weights()
    return model


def first_stage(folder: Path, **settings: Any) -> Any:
    torch.manual_seed(3)
    model = MODELS.build(copy.deepcopy({**FIRST, **settings}))
    model.init_weights()
    torch.save({"state_dict": model.state_dict()}, folder / "stage1.pth")
    return model


def oltr_runner(make: MakeRunner, **overrides: Any) -> Any:
    return make(
        **{
            "model": {"_delete_": True, **copy.deepcopy(MODEL)},
            "custom_hooks": [{"type": "CentroidHook", "num_workers": 0}],
            **dict.fromkeys(["val_cfg", "val_dataloader", "val_evaluator"]),
            "optim_wrapper.paramwise_cfg": {"custom_keys": {"centroids": {"lr_mult": 0.1}}},
            **overrides,
        }
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_what_learns(frozen: bool) -> None:
    """A frozen backbone keeps its weights, and its batch norms follow the images as in the released code."""
    model = build(MODEL, freeze_backbone=frozen).train()
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    sum(model.loss(noise(4, 3, 32, 32), LabelBatch(torch.arange(4))).values()).backward()
    optimiser.step()
    kept = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    still_zero = {f"neck.{layer}.bias" for layer in ("g", "theta", "phi")} | {"neck.mask.weight"}
    weights = {f"backbone.{name}" for name, _ in model.backbone.named_parameters()}
    assert kept - still_zero == (weights if frozen else set())


@pytest.mark.parametrize("places", [False, True])
def test_takes_features_and_hallucinator_of_stage_1(tmp_path: Path, make_runner: MakeRunner, places: bool) -> None:
    """With a layer between pooling and classifier too, as on Places-LT. The first features are those of stage 1."""
    neck: Any = [{"type": "GlobalAveragePooling"}, LINEAR] if places else FIRST["neck"]
    width = 16 if places else 64
    head = {"num_classes": 10, "in_channels": width}
    earlier = first_stage(tmp_path, neck=neck, head={"type": "LinearHead", **head})
    model = {**MODEL, "head": {"type": "OLTRHead", **head}, "freeze_backbone": places}
    if places:
        model["neck"] = [ATTENTION, LINEAR]
    options = {"model": {"_delete_": True, **model}, "train_cfg.max_epochs": 1}
    runner = oltr_runner(make_runner, **options, load_from=str(tmp_path / "stage1.pth"))
    initial: dict[str, Any] = {}
    runner.hooks[-1].before_train_epoch = lambda *_: initial.update(copy.deepcopy(runner.model.state_dict()))
    runner.train()
    for name, value in earlier.state_dict().items():
        assert torch.equal(initial[name], value), name
    started, images = build(model), noise(3, 3, 32, 32)
    started.load_state_dict(initial, strict=False)  # no class counts
    torch.testing.assert_close(started.eval().extract_feat(images)[-1], earlier.eval().extract_feat(images)[-1])


def test_a_checkpoint_without_the_classifier_is_refused(tmp_path: Path, make_runner: MakeRunner) -> None:
    first_stage(tmp_path, head={"type": "CosineClsHead", "num_classes": 10, "in_channels": 64})
    runner = oltr_runner(make_runner, load_from=str(tmp_path / "stage1.pth"))
    with pytest.raises(UserInputError, match=r"only 1 of the 2 tensors of the head\.fc are in .*stage1\.pth"):
        runner.train()


def test_a_run_whose_memory_no_hook_fills_is_stopped(tmp_path: Path, make_runner: MakeRunner) -> None:
    first_stage(tmp_path)
    runner = oltr_runner(make_runner, load_from=str(tmp_path / "stage1.pth"), custom_hooks=[])
    with pytest.raises(UserInputError, match="CentroidHook"):
        runner.train()
    assert runner.iter == 0


def slow_means(runner: Any, model: Any) -> torch.Tensor:
    """Mean feature of each class, image after image, with the transforms of the test set."""
    plain = replace_pipeline(runner.train_dataloader.dataset, runner.cfg.test_dataloader.dataset.pipeline)
    rows: dict[int, list[torch.Tensor]] = {}
    for index in range(len(plain)):
        sample = plain[index]
        batch = {"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]}
        with torch.no_grad():
            feature = model.extract_feat(model.data_preprocessor(batch, training=False)["inputs"])[-1][0]
        rows.setdefault(int(sample["data_samples"].gt_label), []).append(feature.double())
    return torch.stack([torch.stack(rows[label]).mean(dim=0) for label in range(10)])


def test_centroids_start_as_class_means_and_a_killed_run_goes_on_exactly(
    tmp_path: Path, make_runner: MakeRunner
) -> None:
    earlier = first_stage(tmp_path).eval()
    options = {"load_from": str(tmp_path / "stage1.pth"), "default_hooks.checkpoint.max_keep_ckpts": 3}
    runner = oltr_runner(make_runner, **options)
    initial: dict[str, Any] = {}
    runner.hooks[-1].before_train_epoch = lambda runner: initial.setdefault(
        "centroids", runner.model.head.centroid_loss.centroids.detach().clone()
    )
    runner.train()
    earlier.data_preprocessor = runner.model.data_preprocessor
    torch.testing.assert_close(initial["centroids"].double(), slow_means(runner, earlier), rtol=1e-5, atol=1e-6)
    assert not torch.equal(runner.model.head.centroid_loss.centroids, initial["centroids"])
    rates = {group["params"][0].shape: group["lr"] for group in runner.optim_wrapper.param_groups}
    assert rates[(10, 64)] < max(rates.values())
    resumed = oltr_runner(make_runner, **{**options, "load_from": f"{runner.work_dir}/epoch_1.pth", "resume": True})
    resumed.train()
    states = runner.model.state_dict(), resumed.model.state_dict()
    assert [name for name, value in states[0].items() if not torch.equal(value, states[1][name])] == []
