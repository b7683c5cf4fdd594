"""Two augmented passes over a test set by the experts of a model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.config import Config

from lt_plugins.analysis.expert_views import SeededView, find_view_pipeline, gather_expert_views
from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.runs.config import load_config

OPTIONS = {"model.backbone.depth": 20, "test_dataloader.dataset.indices": 30, "optim_wrapper.optimizer.lr": 0.025}


@pytest.fixture(scope="module")
def cfg() -> Config:
    return load_config("configs/tade/tade_r32_digits.py", OPTIONS)


@pytest.fixture(scope="module")
def model(cfg: Config) -> Any:
    torch.manual_seed(0)
    return build_model(cfg).eval()


def test_views_follow_from_the_images_alone(cfg: Config, model: Any) -> None:
    """The same with another batch size and with workers, whatever the random state; the two views differ."""
    dataset = build_plain_dataset(cfg, "test")
    views = gather_expert_views(model, dataset, cfg, batch_size=30, num_workers=0)
    assert views.first.shape == views.second.shape == (30, 3, 10)
    assert (views.first - views.second).abs().amax(dim=(1, 2)).gt(1e-3).all()
    assert (views.lr, views.weight_decay) == (0.025, 5e-4)
    assert torch.equal(views.biases, torch.zeros(3, 10))
    torch.manual_seed(7)
    again = gather_expert_views(model, dataset, cfg, batch_size=7, num_workers=2)
    torch.testing.assert_close(again.first, views.first, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(again.second, views.second, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_logits_are_those_of_each_expert(cfg: Config, model: Any) -> None:
    dataset = build_plain_dataset(cfg, "test")
    views = gather_expert_views(model, dataset, cfg, batch_size=30, num_workers=0)
    view = SeededView(replace_pipeline(dataset, find_view_pipeline(cfg)), 2)
    images = torch.stack([view[index]["inputs"] for index in range(3)])
    inputs = model.data_preprocessor({"inputs": images, "data_samples": None}, training=False)["inputs"]
    expected = [expert((maps,)) for expert, maps in zip(model.head.experts, model.extract_feat(inputs), strict=True)]
    torch.testing.assert_close(views.second[:3], torch.stack(expected, dim=1), rtol=1e-4, atol=1e-4)


def test_transforms_of_a_view(cfg: Config) -> None:
    """Those that the config names, or else those of its training."""
    assert find_view_pipeline(cfg) == cfg.train_dataloader.dataset.dataset.pipeline
    named = find_view_pipeline(load_config("configs/tade/tade_r32_cifar100-lt.py"))
    assert [step["type"] for step in named][1:3] == ["RandomCrop", "RandomApply"]
    with pytest.raises(UserInputError, match="no view_pipeline, nor training transforms without MultiView"):
        find_view_pipeline(load_config("configs/paco/paco_r32_digits.py"))
