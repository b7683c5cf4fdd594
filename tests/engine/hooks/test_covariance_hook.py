"""The schedule of the strength, the update of covariances, and what stops a run that lacks one or the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from lt_plugins.engine.hooks import CovarianceHook
from lt_plugins.engine.hooks.covariance_hook import augmentations
from lt_plugins.errors import UserInputError
from tests.small_runs import MakeRunner

LCREG = {
    "model.neck": [],
    "model.head": {
        "_delete_": True,
        "type": "LCRegHead",
        "num_classes": 10,
        "in_channels": 64,
        "num_latents": 3,
        "aug_loss": {"lambda_0": 0.8},
    },
    "train_dataloader.batch_size": 8,
}


class Recorder(Hook):
    """Notes strength and count of each iteration, and the encoded latents after it."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.strengths: list[float] = []
        self.counts: list[float] = []
        self.latents: list[torch.Tensor] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        loss = runner.model.head.aug_loss_module
        self.strengths.append(float(loss.strength))
        self.counts.append(float(loss.latent_count[0]))
        self.latents.append(runner.model.head.latent_pool().detach().clone())


def test_strength_rises_and_covariances_follow_each_iteration(make_runner: MakeRunner) -> None:
    runner = make_runner(**LCREG)
    recorder = Recorder()
    for hook in (CovarianceHook(), recorder):
        runner.register_hook(hook)
    runner.train()
    total = runner.max_iters
    assert total >= 6
    assert recorder.strengths == pytest.approx([0.8 * t / total for t in range(total)])
    assert recorder.counts == list(range(1, total + 1))
    loss = runner.model.head.aug_loss_module
    path = torch.stack(recorder.latents).double()  # (T, M, D)
    torch.testing.assert_close(loss.latent_mean.double(), path.mean(dim=0), rtol=1e-4, atol=1e-5)
    expected = torch.stack([torch.cov(path[:, m].T, correction=0) for m in range(3)])
    torch.testing.assert_close(loss.latent_covariance.double(), expected, rtol=1e-2, atol=1e-8)
    assert float(expected.abs().max()) > 1e-6


def test_class_covariances_are_found_too(make_runner: MakeRunner) -> None:
    head = {"_delete_": True, "type": "ISDAHead", "num_classes": 10, "in_channels": 64}
    runner = make_runner(**{"model.head": head, "train_cfg.max_epochs": 1})
    runner.register_hook(CovarianceHook())
    runner.train()
    (loss,) = augmentations(runner.model)
    assert float(loss.moments.count.sum()) == len(runner.train_dataloader.dataset)


def test_nothing_to_update_is_said_and_left_alone(make_runner: MakeRunner) -> None:
    runner = make_runner(log_level="INFO", **{"train_cfg.max_epochs": 1})
    runner.register_hook(CovarianceHook())
    runner.train()
    (log,) = Path(runner.work_dir).glob("*/*.log")
    assert "CovarianceHook has nothing to do: no loss of this LinearHead augments features." in log.read_text()


def test_isda_needs_the_hook_too(make_runner: MakeRunner) -> None:
    isda = {"type": "ISDAHead", "num_classes": 10, "in_channels": 64, "_delete_": True}
    with pytest.raises(UserInputError, match=r"ISDALoss needs CovarianceHook: add dict\(type='CovarianceHook'\)"):
        make_runner(**{"model.head": isda}).train()


def test_a_model_without_the_hook_stops_the_run(make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match=r"LatentISDALoss needs CovarianceHook: add dict\(type='CovarianceHook'\)"):
        make_runner(**LCREG).train()
