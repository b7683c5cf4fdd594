from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from lt_plugins.analysis.trained_model import build_plain_dataset, load_trained_model
from lt_plugins.checkpoints import run_checkpoints
from lt_plugins.datasets.pipelines import find_test_pipeline, require_test_pipeline
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT


@pytest.fixture
def cfg() -> Config:
    cfg = load_config(str(ROOT / "configs/ce/ce_r32_digits.py"))
    cfg.model.backbone.depth = 20
    return cfg


def _save(cfg: Config, path: Path, epoch: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(epoch)
    state_dict = build_model(cfg).state_dict()
    torch.save({"state_dict": state_dict, "meta": {"epoch": epoch}}, path)
    return state_dict


def test_weights_and_epoch(cfg: Config, tmp_path: Path) -> None:
    state_dict = _save(cfg, tmp_path / "epoch_3.pth", 3)
    loaded = load_trained_model(cfg, tmp_path / "epoch_3.pth")
    assert (loaded.checkpoint, loaded.epoch, loaded.model.training) == (tmp_path / "epoch_3.pth", 3, False)
    assert all(torch.equal(value, loaded.model.state_dict()[key]) for key, value in state_dict.items())
    assert "data_preprocessor" not in cfg.model, "the config was changed"
    assert loaded.model.data_preprocessor.mean.flatten()[0] == pytest.approx(77.8)


def test_class_counts_that_the_hook_added(cfg: Config, tmp_path: Path) -> None:
    """The model itself has no location for them."""
    counts = torch.tensor([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    torch.save({**build_model(cfg).state_dict(), "class_distribution.counts": counts}, tmp_path / "weights.pth")
    assert load_trained_model(cfg, tmp_path / "weights.pth").model.class_distribution.counts.equal(counts)


def test_plain_weights_of_a_distributed_run(cfg: Config, tmp_path: Path) -> None:
    state_dict = build_model(cfg).state_dict()
    torch.save({f"module.{key}": value for key, value in state_dict.items()}, tmp_path / "weights.pth")
    assert load_trained_model(cfg, tmp_path / "weights.pth").epoch is None


def test_checkpoint_replaced_while_it_is_read(cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run finishes an epoch and removes the old checkpoint between our reading its name and its content."""
    _save(cfg, tmp_path / "epoch_1.pth", 1)
    (tmp_path / "last_checkpoint").write_text("/elsewhere/epoch_1.pth")
    load = run_checkpoints.load_checkpoint

    def load_late(path: str, **options: Any) -> dict:
        if Path(path).name == "epoch_1.pth":
            _save(cfg, tmp_path / "epoch_2.pth", 2)
            (tmp_path / "last_checkpoint").write_text("/elsewhere/epoch_2.pth")
            (tmp_path / "epoch_1.pth").unlink()
        return load(path, **options)

    monkeypatch.setattr(run_checkpoints, "load_checkpoint", load_late)
    loaded = load_trained_model(cfg, tmp_path)
    assert (loaded.checkpoint, loaded.epoch) == (tmp_path / "epoch_2.pth", 2)


def test_data_through_the_test_pipeline(cfg: Config) -> None:
    train, test = build_plain_dataset(cfg, "train"), build_plain_dataset(cfg, "test")
    assert (len(train), len(test)) == (342, 500)
    assert all(torch.equal(train[5]["inputs"], train[5]["inputs"]) for _ in range(3))
    assert train[5]["data_samples"].sample_idx == 5


def test_data_of_other_classes_is_not_looked_at(cfg: Config, tmp_path: Path) -> None:
    names = [str(digit) for digit in range(10)]
    meta = {"epoch": 1, "dataset_meta": {"classes": tuple(names)}}
    torch.save({"state_dict": build_model(cfg).state_dict(), "meta": meta}, tmp_path / "epoch_1.pth")
    trained = load_trained_model(cfg, tmp_path / "epoch_1.pth")
    assert trained.classes == tuple(names)
    assert len(build_plain_dataset(cfg, "test", trained)) == 500
    cfg.test_dataloader.dataset.classes = ["1", "0", *names[2:]]
    with pytest.raises(UserInputError, match=r"label 0 is '0' in .*epoch_1.pth and '1' in the test dataset"):
        build_plain_dataset(cfg, "test", trained)
    cfg.default_hooks.preflight.allow_renamed_classes = True
    assert len(build_plain_dataset(cfg, "test", trained)) == 500


def test_pipeline_of_a_wrapped_data_set(cfg: Config) -> None:
    pipeline = cfg.test_dataloader.dataset.pipeline
    assert find_test_pipeline(cfg) == pipeline
    cfg.test_dataloader.dataset = dict(type="LongTailDataset", dataset=cfg.test_dataloader.dataset)
    assert find_test_pipeline(cfg) == pipeline
    cfg.test_dataloader = None
    assert find_test_pipeline(cfg) == cfg.val_dataloader.dataset.pipeline
    cfg.val_dataloader = None
    assert find_test_pipeline(cfg) is None
    with pytest.raises(UserInputError, match=r"AHook needs transforms .*; give one a pipeline"):
        require_test_pipeline(cfg, "AHook")
    assert require_test_pipeline(cfg, "AHook", pipeline) == pipeline


@pytest.mark.parametrize("missing", ["train", "pipeline"])
def test_data_that_a_config_lacks(cfg: Config, missing: str) -> None:
    if missing == "train":
        cfg.train_dataloader = None
    else:
        cfg.test_dataloader = cfg.val_dataloader = None
    with pytest.raises(UserInputError, match=r"no train_dataloader\.dataset, or no test_dataloader"):
        build_plain_dataset(cfg, "train")
