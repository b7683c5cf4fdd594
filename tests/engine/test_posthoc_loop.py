"""The post-hoc stage: what it fits, what it refuses, and a run in two stages by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.pipelines import find_test_pipeline, replace_pipeline
from lt_plugins.engine.posthoc_loop import choose_tau
from lt_plugins.errors import UserInputError
from lt_plugins.posthoc import AffineClassifier, LabelledFeatures, TrainedClassifier
from lt_plugins.posthoc.methods import METHODS
from lt_plugins.runs.recorded_run import RecordedRun
from lt_plugins.runs.result_file import describe_result
from tests.small_runs import MakeRunner
from tests.tool_process import ROOT, run_tool

NCM = ROOT / "configs/posthoc/ncm_r32_digits.py"


@pytest.fixture
def trained(make_runner: MakeRunner, tmp_path: Path) -> Path:
    """Checkpoint of an epoch of cross-entropy."""
    runner = make_runner(**{"train_cfg.max_epochs": 1, "work_dir": str(tmp_path / "stage1")})
    runner.train()
    return tmp_path / "stage1/epoch_1.pth"


def stage(make_runner: MakeRunner, checkpoint: Path | None, name: str, **settings: Any) -> Any:
    overrides = settings.pop("overrides", {})
    loop = {"_delete_": True, "type": "PosthocLoop", "max_epochs": 1, **settings}
    source = None if checkpoint is None else str(checkpoint)
    work_dir = str(Path(str(checkpoint)).parent.parent / name)
    return make_runner(load_from=source, work_dir=work_dir, param_scheduler=[], train_cfg=loop, **overrides)


def features_of(runner: Any, loader: Any) -> tuple[Tensor, Tensor]:
    """Pooled features and labels, by a plain loop over the images without augmentation."""
    model = runner.model.eval()
    dataset = replace_pipeline(loader.dataset, find_test_pipeline(runner.cfg))
    rows = []
    with torch.no_grad():
        for index in range(len(dataset)):
            sample = dataset[index]
            data = model.data_preprocessor(
                {"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]}, training=False
            )
            rows.append(model.extract_feat(data["inputs"])[-1][0])
    return torch.stack(rows), torch.from_numpy(get_labels(dataset))


def test_ncm_reads_the_training_images_without_augmentation(
    make_runner: MakeRunner, trained: Path, tmp_path: Path
) -> None:
    runner = stage(make_runner, trained, "ncm", method="ncm", overrides={"resident": False})
    weights_before = torch.load(trained, weights_only=False)["state_dict"]
    runner.train()
    assert (runner.epoch, runner.iter) == (1, 0)
    features, labels = features_of(runner, runner.train_dataloader)
    centre = features.mean(dim=0)
    directions = F.normalize(features - centre)
    adjusted = runner.model.head.adjusted
    torch.testing.assert_close(adjusted.centre, centre, atol=1e-4, rtol=1e-4)
    for label in range(10):
        expected = directions[labels == label].mean(dim=0)
        torch.testing.assert_close(adjusted.weight[label], expected, atol=1e-3, rtol=1e-3)
    after = torch.load(tmp_path / "ncm/epoch_1.pth", weights_only=False)["state_dict"]
    assert all(torch.equal(after[key], value) for key, value in weights_before.items()), "batch norms too"
    assert {*after} - {*weights_before} == {f"head.adjusted.{name}" for name in ("weight", "bias", "centre")}

    tester = make_runner(load_from=str(tmp_path / "ncm/epoch_1.pth"), work_dir=str(tmp_path / "test"))
    tested = tester.test()
    (log,) = (tmp_path / "ncm").glob("*/vis_data/scalars.json")
    validated = [json.loads(line) for line in log.read_text().splitlines()][-1]
    assert tested["shot/accuracy_top1"] == pytest.approx(validated["shot/accuracy_top1"])


@pytest.mark.parametrize(("method", "tau"), [("logit-adjustment", 0.5), ("tau-norm", None)])
def test_methods_without_features(method: str, tau: float | None, make_runner: MakeRunner, trained: Path) -> None:
    runner = stage(make_runner, trained, method, method=method, **({} if tau is None else {"tau": tau}))
    runner.train()
    head = runner.model.head
    expected = AffineClassifier(head.fc.weight.detach(), head.fc.bias.detach())
    counts = runner.model.class_distribution.counts
    adjusted = METHODS[method].fit(TrainedClassifier(expected, counts, torch.ones(10)), 1.0 if tau is None else tau)
    torch.testing.assert_close(head.adjusted.weight, adjusted.classifier.weight)
    torch.testing.assert_close(head.adjusted.bias, adjusted.classifier.bias)


def test_tau_is_chosen_on_validation_images(make_runner: MakeRunner, trained: Path) -> None:
    images = {
        "val_dataloader.dataset.indices": list(range(100)),
        "test_dataloader.dataset.indices": list(range(100, 500)),
    }
    runner = stage(make_runner, trained, "chosen", method="tau-norm", tau="val", overrides=images)
    runner.train()
    weight = runner.model.head.fc.weight.detach()
    power = torch.log(weight.norm(dim=1) / runner.model.head.adjusted.weight.norm(dim=1)) / weight.norm(dim=1).log()
    assert float(power.std()) < 1e-3
    assert 0 <= float(power.mean()) <= 2.001


def test_choose_tau_takes_the_first_of_the_best() -> None:
    """Of two classes, the second of which the bias hides until its frequency has been taken out."""
    counts = torch.tensor([99, 1])
    classifier = AffineClassifier(torch.tensor([[1.0], [-1.0]]), torch.tensor([1.5, -1.5]))
    features, labels = torch.tensor([[2.0], [1.0], [-0.5], [-0.7]]), torch.tensor([0, 0, 1, 1])
    trained = TrainedClassifier(classifier, counts, torch.tensor([0.99, 0.01]))
    tau, accuracy = choose_tau(METHODS["logit-adjustment"], trained, LabelledFeatures(features, labels))
    # The second wins at -0.5 as soon as its logit, lower by 2 (1.5 - 0.5), is raised by tau log(99) = 4.6 tau.
    assert accuracy == 100.0
    assert tau == pytest.approx(0.5)


def test_refuses(make_runner: MakeRunner, trained: Path, tmp_path: Path) -> None:
    def fails(match: str, checkpoint: Path | None = trained, **settings: Any) -> None:
        with pytest.raises(UserInputError, match=match):
            stage(make_runner, checkpoint, str(tmp_path / f"refused{len(match)}"), **settings).train()

    fails(r"method='em' of PosthocLoop must be one of logit-adjustment, tau-norm, ncm", method="em")
    fails(r"tau=1\.0: ncm has no setting", method="ncm", tau=1.0)
    fails(r"max_epochs=2: PosthocLoop fits once", method="ncm", max_epochs=2)
    fails(r"tau='val' of PosthocLoop must be a number, or 'val' where", method="tau-norm", tau="val")
    fails(r"PosthocLoop trains nothing, and nothing initialises the model", None, method="ncm")
    balanced = {"model.head.loss": {"_delete_": True, "type": "BalancedSoftmaxLoss"}}
    fails(r"would favour rare classes", method="logit-adjustment", overrides=balanced)
    sampler = {"train_dataloader.sampler": {"_delete_": True, "type": "ClassAwareSampler"}}
    fails(r"would favour rare classes", method="logit-adjustment", overrides=sampler)

    content = torch.load(trained, weights_only=False)
    headless = {key: value for key, value in content["state_dict"].items() if not key.startswith("head.fc")}
    torch.save({**content, "state_dict": headless}, tmp_path / "stage1/headless.pth")
    fails(r"head\.fc\.bias", tmp_path / "stage1/headless.pth", method="ncm")
    stage(make_runner, trained, "done", method="ncm").train()
    fails(r"was adjusted already", tmp_path / "done/epoch_1.pth", method="tau-norm")


def test_a_training_from_an_adjusted_checkpoint_starts_from_the_trained_one(
    make_runner: MakeRunner, trained: Path, tmp_path: Path
) -> None:
    stage(make_runner, trained, "done", method="ncm").train()
    runner = make_runner(**{"load_from": str(tmp_path / "done/epoch_1.pth"), "train_cfg.max_epochs": 1})
    runner.train()
    assert runner.model.head.adjusted is None


def test_a_run_in_two_stages(tmp_path: Path) -> None:
    """By the command line: trains, adjusts, is finished, is a result, and is tested by its folder."""
    small = {
        "model.backbone.depth": 20,
        "train_cfg.max_epochs": 1,
        "train_dataloader.dataset.max_count": 8,
        "train_dataloader.dataset.imbalance_factor": 8,
    }
    run = tmp_path / "run"
    arguments: list[str | Path] = [
        NCM,
        "--work-dir",
        run,
        "--cfg-options",
        *(f"{key}={value}" for key, value in small.items()),
    ]
    done = run_tool("train.py", *arguments, logs=tmp_path)
    assert done.exit_code == 0, done.output
    assert "The classifier is adjusted by ncm; the trained one stays beside it." in done.output
    assert (run / "stage1/epoch_1.pth").is_file() and (run / "epoch_1.pth").is_file()

    again = run_tool("train.py", *arguments, "--resume", logs=tmp_path)
    assert again.exit_code == 1
    assert again.error_lines[0].startswith("error: nothing is left to train"), again.output
    (run / "epoch_1.pth").unlink()
    (run / "last_checkpoint").unlink()
    again = run_tool("train.py", *arguments, "--resume", logs=tmp_path)
    assert again.exit_code == 0, again.output
    assert "stage 1 of 2" in again.output and "is skipped: it is finished" in again.output

    metrics = tmp_path / "metrics.json"
    tested = run_tool(
        "test.py", NCM, run, *arguments[3:], "--out", metrics, "--work-dir", tmp_path / "t", logs=tmp_path
    )
    assert tested.exit_code == 0, tested.output
    result = describe_result(RecordedRun("ncm", run, str(NCM), 0, []))
    assert result["metrics"]["overall"] == pytest.approx(
        json.loads(metrics.read_text())["shot/accuracy_top1"], abs=1e-3
    )
    assert (result["epochs"], result["previous_stage"]["epochs"]) == (1, 1)
