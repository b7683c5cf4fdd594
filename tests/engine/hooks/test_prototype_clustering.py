"""ReclusterHook on PCL: prototypes of the key encoder's projections, the same on any number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.clustering import prototypes
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.engine.clusterings import PrototypeClustering
from lt_plugins.engine.hooks import ReclusterHook
from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import read_stages
from tests.engine.hooks.test_recluster_hook import CE, make_runner, recorded_epochs, the_hook
from tests.gloo import run_gloo
from tests.random_state import random_state_untouched
from tests.tool_process import ROOT

CONFIG = "pcl/pcl_r32_digits.py:stage1"
# 78 digits: the numbers of the config are for 115,846 images, so that there would be two clusters at each granularity.
SETTINGS: dict[str, Any] = {
    "model.queue_size": 32,
    "model.head.loss.num_clusters": (5, 9, 20),
    "model.head.loss.per_images": 78,
    "custom_hooks.0.num_workers": 0,
}


def make_pcl_runner(work_dir: Path, **overrides: Any) -> Runner:
    return make_runner(work_dir, CONFIG, **SETTINGS, **overrides)


def cluster_once(work_dir: Path, **overrides: Any) -> Runner:
    """Cluster with the weights a run starts with, but for a key encoder that is another one."""
    runner = make_pcl_runner(work_dir, **overrides)
    runner.model.init_weights()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in runner.model.key_encoder["projector"].parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    the_hook(runner).recluster(runner)
    return runner


def tables(runner: Runner) -> dict[str, Tensor]:
    """The buffers of the loss."""
    return {name: value.clone() for name, value in runner.model.head.loss_module.named_buffers()}


@pytest.fixture(scope="module")
def reference_run(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return cluster_once(tmp_path_factory.mktemp("reference"))


def slow_keys(runner: Runner) -> Tensor:
    """Projection of each training image by the key encoder, one after the other."""
    model = runner.model.eval()
    dataset = replace_pipeline(runner.train_dataloader.dataset, runner.cfg.test_dataloader.dataset.pipeline)
    encoder = model.key_encoder
    rows = []
    with torch.no_grad():
        for sample in dataset:
            data = model.data_preprocessor({"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]})
            rows.append(encoder["projector"](encoder["neck"](encoder["backbone"](data["inputs"])))[-1][0])
    return F.normalize(torch.stack(rows), dim=1)


def test_prototypes_are_those_of_all_keys(reference_run: Runner) -> None:
    keys = slow_keys(reference_run)
    cosines = []
    for index, (number, found) in enumerate(
        zip((5, 9, 20), reference_run.model.head.loss_module.granularities, strict=True)
    ):
        expected = prototypes(keys, number, 0.2, seed=(0, 0, index))
        assert torch.equal(found.assignment, expected.assignment)
        torch.testing.assert_close(found.centroids, expected.centroids, rtol=0, atol=1e-5)
        torch.testing.assert_close(found.phi, expected.phi, rtol=0, atol=1e-5)
        cosines.append(expected.mean_cosine)
    logged = reference_run.message_hub.get_scalar("train/prototype_cosine").current()
    assert logged == pytest.approx(sum(cosines) / 3, abs=1e-5)
    assert cosines == sorted(cosines), "finer clusters are tighter"


def tables_on_one_rank(work_dir: Path) -> dict[str, Tensor]:
    # Odd batches, so that the ranks hold 39 images in 6 batches each.
    return tables(cluster_once(work_dir, **{"custom_hooks.0.batch_size": 7}))


def test_two_processes_find_what_one_finds(reference_run: Runner, tmp_path: Path) -> None:
    first, second = run_gloo(tables_on_one_rank, tmp_path / "run", folder=tmp_path)
    expected = tables(reference_run)
    assert len(expected) == 9
    for name, value in expected.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-5)


def test_pass_changes_the_prototypes_alone(tmp_path: Path) -> None:
    runner = make_pcl_runner(tmp_path)
    runner.model.init_weights()
    runner.model.train()
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    with random_state_untouched():
        the_hook(runner).recluster(runner)
    assert all(module.training for module in runner.model.modules())
    after = runner.model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {f"head.loss_module.{name}" for name in tables(runner)}


def test_warms_up_with_info_nce_and_then_clusters_before_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_pcl_runner(
        tmp_path, **{"train_cfg.max_epochs": 4, "custom_hooks.0.start": 2, "custom_hooks.0.task.num_restarts": 1}
    )
    epochs = recorded_epochs(runner, monkeypatch)
    runner.train()
    assert epochs == [2, 3]
    saved = [torch.load(tmp_path / f"epoch_{n}.pth", weights_only=False)["state_dict"] for n in (2, 3, 4)]
    name = "head.loss_module.granularities.1.centroids"
    assert saved[0][name].numel() == 0
    assert saved[1][name].shape == saved[2][name].shape == (9, 128)
    assert not torch.equal(saved[1][name], saved[2][name])


def test_a_shorter_schedule_has_a_shorter_warm_up() -> None:
    """20 of 200 epochs on ImageNet-LT, 100 of 1000 on CIFAR-100-LT; then every epoch, or every fifth."""
    for name, shorten, expected in (
        ("r50_imagenet-lt", 1, (200, 20, 1)),
        ("r50_imagenet-lt", 10, (20, 2, 1)),
        ("r32_cifar100-lt", 1, (1000, 100, 5)),
        ("r32_cifar100-lt", 50, (20, 2, 1)),
    ):
        cfg = read_stages(str(ROOT / f"configs/pcl/pcl_{name}.py"), shorten=shorten)[0]
        [hook] = cfg.custom_hooks
        assert (cfg.train_cfg.max_epochs, hook.start, hook.interval) == expected


def test_a_model_without_prototypes_is_refused_before_training(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, CE)
    runner.register_hook(ReclusterHook(dict(type="PrototypeClustering")))
    with pytest.raises(UserInputError, match=r"the loss of the model is CrossEntropyLoss; set .*='PCLLoss'"):
        runner.train()


@pytest.mark.parametrize("bad", [dict(alpha=0), dict(num_iters=0), dict(num_restarts=-1), dict(backend="cuml")])
def test_settings_without_meaning_are_refused(bad: dict[str, Any]) -> None:
    ((name, value),) = bad.items()
    with pytest.raises(UserInputError, match=f"{name}={value!r}"):
        PrototypeClustering(**bad)
