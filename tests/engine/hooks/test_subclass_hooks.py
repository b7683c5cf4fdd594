"""ReclusterHook and TemperatureHook on SBCL: one pass, two readers, the same on any number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.clustering import class_temperatures, subclass_clusters, subclass_sizes
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.engine.clusterings.subclass_clustering import SubclassClustering, describe_sizes
from lt_plugins.engine.hooks import ReclusterHook, TemperatureHook
from lt_plugins.errors import UserInputError
from tests.engine.hooks.test_recluster_hook import make_runner, recorded_epochs, the_hook
from tests.gloo import run_gloo
from tests.random_state import random_state_untouched

CONFIG = "sbcl/sbcl_r32_digits.py:stage1"
# 78 digits, 20 to 2 a class: capacity 4, so the largest classes have five subclasses.
HOOK = {"custom_hooks.0.task.min_size": 4, "custom_hooks.0.num_workers": 0}


def make_sbcl_runner(work_dir: Path, **overrides: Any) -> Runner:
    return make_runner(work_dir, CONFIG, **HOOK, **overrides)


def recluster_once(work_dir: Path, **overrides: Any) -> Runner:
    """Cluster with the weights a run starts with."""
    runner = make_sbcl_runner(work_dir, **overrides)
    runner.model.init_weights()
    the_hook(runner).recluster(runner)
    return runner


def tables(runner: Runner) -> dict[str, Tensor]:
    loss = runner.model.head.loss_module
    return {"subclass": loss.subclass.clone(), "tau2": loss.tau2.clone()}


@pytest.fixture(scope="module")
def reference_run(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return recluster_once(tmp_path_factory.mktemp("reference"))


def slow_projections(runner: Runner) -> tuple[Tensor, Tensor]:
    """Projection and class of each training image, one after the other."""
    model = runner.model.eval()
    dataset = replace_pipeline(runner.train_dataloader.dataset, runner.cfg.test_dataloader.dataset.pipeline)
    rows, labels = [], []
    with torch.no_grad():
        for sample in dataset:
            data = model.data_preprocessor({"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]})
            projected = model.projector(model.neck(model.backbone(data["inputs"])))[-1][0]
            rows.append(projected / projected.norm())
            labels.append(int(sample["data_samples"].gt_label))
    return torch.stack(rows), torch.tensor(labels)


def test_tables_are_those_of_all_projections(reference_run: Runner) -> None:
    features, labels = slow_projections(reference_run)
    found = tables(reference_run)
    assert torch.equal(found["subclass"], subclass_clusters(features, labels, min_size=4, seed=0).subclass)
    torch.testing.assert_close(found["tau2"], class_temperatures(features, labels, 10, 0.1), rtol=0, atol=1e-5)
    parts = subclass_sizes(found["subclass"], labels, 10).num_parts
    assert int(parts.max()) == 5
    assert int(parts.min()) == 1


def tables_on_one_rank(work_dir: Path) -> dict[str, Tensor]:
    # Odd batches, so that the ranks hold 39 images in 6 batches each.
    return tables(recluster_once(work_dir, **{"custom_hooks.0.batch_size": 7}))


def test_two_processes_find_what_one_finds(reference_run: Runner, tmp_path: Path) -> None:
    expected = tables(reference_run)
    for found in run_gloo(tables_on_one_rank, tmp_path / "run", folder=tmp_path):
        assert torch.equal(found["subclass"], expected["subclass"])
        torch.testing.assert_close(found["tau2"], expected["tau2"], rtol=0, atol=1e-6)


def test_one_pass_serves_both_and_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = make_sbcl_runner(tmp_path)
    runner.model.init_weights()
    runner.model.train()
    seen: list[int] = []
    project = type(runner.model).extract_projections

    def counted(model: Any, images: Tensor) -> Tensor:
        seen.append(len(images))
        return project(model, images)

    monkeypatch.setattr(type(runner.model), "extract_projections", counted)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    with random_state_untouched():
        the_hook(runner).recluster(runner)
    assert sum(seen) == len(runner.train_dataloader.dataset) == 78
    assert all(module.training for module in runner.model.modules())
    after = runner.model.state_dict()
    changed = {
        name for name, value in after.items() if value.shape != before[name].shape or not value.equal(before[name])
    }
    assert changed == {"head.loss_module.subclass", "head.loss_module.tau2"}


def test_warms_up_then_follows_the_schedule_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = {"custom_hooks.0.start": 1, "custom_hooks.0.interval": 2, "train_cfg.max_epochs": 4}
    runner = make_sbcl_runner(tmp_path, **schedule)
    epochs = recorded_epochs(runner, monkeypatch)
    runner.train()
    assert epochs == [1, 3]
    warm = load_checkpoint(tmp_path / "epoch_1.pth")["state_dict"]
    assert warm["head.loss_module.subclass"].shape == (0,)

    epochs.clear()
    saved = load_checkpoint(tmp_path / "epoch_2.pth")["state_dict"]
    resumed = make_sbcl_runner(
        tmp_path, resume=True, load_from=f"{tmp_path}/epoch_2.pth", **{**schedule, "train_cfg.max_epochs": 3}
    )
    resumed.train()
    assert epochs == []
    assert torch.equal(tables(resumed)["subclass"], saved["head.loss_module.subclass"])
    assert torch.equal(tables(resumed)["tau2"], saved["head.loss_module.tau2"])


def test_weights_of_another_run_bring_no_subclasses_of_its_images(tmp_path: Path) -> None:
    schedule = {"custom_hooks.0.start": 1, "train_cfg.max_epochs": 2}
    make_sbcl_runner(tmp_path / "first", **schedule).train()
    source = tmp_path / "first" / "epoch_2.pth"
    assert len(load_checkpoint(source)["state_dict"]["head.loss_module.subclass"]) == 78
    make_sbcl_runner(tmp_path / "second", load_from=str(source), **schedule).train()
    warm = load_checkpoint(tmp_path / "second" / "epoch_1.pth")["state_dict"]
    assert warm["head.loss_module.subclass"].shape == warm["head.loss_module.tau2"].shape == (0,)


def test_plain_kmeans_and_the_linear_form_are_options(tmp_path: Path) -> None:
    settings = {"custom_hooks.0.task.balanced": False, "custom_hooks.1.mode": "linear"}
    runner = recluster_once(tmp_path, **settings)
    features, labels = slow_projections(runner)
    found = tables(runner)
    subclass = subclass_clusters(features, labels, min_size=4, seed=0, balanced=False).subclass
    assert torch.equal(found["subclass"], subclass)
    split = subclass_sizes(subclass, labels, 10).num_parts > 1
    assert torch.equal(found["tau2"][~split], torch.full((int((~split).sum()),), 0.1, dtype=torch.float64))
    expected = class_temperatures(features, labels, 10, 0.1, mode="linear", split=split)
    torch.testing.assert_close(found["tau2"], expected, rtol=0, atol=1e-5)


def test_sizes_are_described() -> None:
    labels = torch.tensor([0] * 7 + [1] * 3)
    subclass = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 3, 3])
    text = describe_sizes(subclass, labels)
    assert text == "4 subclasses of 2 classes, 1 of them split into parts of 2 to 3 images (max/min 1.5)"
    assert describe_sizes(labels, labels) == "2 subclasses of 2 classes, none split"


def test_subclasses_need_their_hook(tmp_path: Path) -> None:
    runner = make_sbcl_runner(tmp_path)
    message = r"SBCLLoss needs ReclusterHook: add dict\(type='ReclusterHook', task=dict\(type='SubclassClustering'\)\)"
    runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, ReclusterHook)]
    with pytest.raises(UserInputError, match=message):
        runner.train()
    # Nor is a hook enough that clusters for another module.
    aux = {"attribute": {"type": "AttributePositives", "num_attributes": 8}}
    hook = {"type": "ReclusterHook", "task": {"type": "AttributeClustering"}}
    runner = make_sbcl_runner(
        tmp_path, **{"model.aux_losses": aux, "custom_hooks": [hook, {"type": "TemperatureHook"}]}
    )
    with pytest.raises(UserInputError, match=message):
        runner.train()


def test_temperatures_of_no_loss_are_nothing_to_do(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, "ce/ce_r32_digits.py", log_level="INFO", **{"train_cfg.max_epochs": 1})
    runner.register_hook(hook := TemperatureHook())
    runner.train()
    hook.after_feature_pass(runner, torch.ones(4, 8), torch.zeros(4, dtype=torch.int64))  # of other clusters
    (log,) = tmp_path.glob("*/*.log")
    assert "TemperatureHook has nothing to do: the model has no SBCLLoss, whose tau2 it writes." in log.read_text()


def test_samples_that_do_not_say_which_image_they_are_are_refused(tmp_path: Path) -> None:
    runner = make_sbcl_runner(tmp_path)
    dataset = runner.train_dataloader.dataset
    SubclassClustering().check(runner.model, dataset)
    pack = dict(type="PackInputs", meta_keys=())
    with pytest.raises(UserInputError, match="sample_idx=None, expected 77"):
        SubclassClustering().check(runner.model, replace_pipeline(dataset, [dict(type="LoadImage"), pack]))


def test_clustering_of_the_released_code_is_an_option(tmp_path: Path) -> None:
    released: dict[str, Any] = {"balanced": False, "rounding": "down", "start": "random", "max_iters": 35}
    settings = {f"custom_hooks.0.task.{key}": value for key, value in released.items()}
    runner = recluster_once(tmp_path, **settings)
    features, labels = slow_projections(runner)
    expected = subclass_clusters(features, labels, min_size=4, seed=0, **released).subclass
    assert torch.equal(tables(runner)["subclass"], expected)
    assert (subclass_sizes(expected, labels, 10).num_parts <= (torch.bincount(labels) // 4).clamp(min=1)).all()
    with pytest.raises(UserInputError, match="set balanced=False"):
        SubclassClustering(rounding="down")


@pytest.mark.parametrize("bad", [dict(alpha=0), dict(mode="log")])
def test_settings_without_meaning_are_refused(bad: dict[str, Any]) -> None:
    ((name, value),) = bad.items()
    with pytest.raises(UserInputError, match=f"{name}={value!r}"):
        TemperatureHook(**bad)
