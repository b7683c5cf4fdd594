"""tools/posthoc.py on a digits model whose classifier is that of a long-tailed training, without training one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.datasets.labels import get_class_counts
from lt_plugins.engine.classifier_features import gather_classifier_features
from lt_plugins.models.build import build_model
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT, ToolProcess, expect_errors, run_tool

TOOL = "posthoc.py"
CE = ROOT / "configs/ce/ce_r32_digits.py"
EXPERTS = ROOT / "configs/tade/tade_r32_digits.py"
GRID = ("--grid", "0:1:0.25")
SMALL: dict[str, Any] = {"model.backbone.depth": 20, "test_dataloader.dataset.indices": 100}
NO_VALIDATION = {**SMALL, "val_dataloader.dataset.indices": 100}
LINEAR: dict[str, Any] = {}
COSINE = {"model.head.type": "CosineClsHead"}
SCALED = {"model.head.type": "LWSClsHead"}
LATENT = {"model.head.type": "LCRegHead", "model.head.num_latents": 5, "model.neck": [], "model.head.aug_weight": 0.0}


def options(overrides: dict[str, Any]) -> list[str]:
    return ["--cfg-options", *(f"{key}={value}" for key, value in overrides.items())]


def long_tailed_fit(model: Any, cfg: Any) -> None:
    """Give a random network the classifier of ridge regression on the training set, whose bias knows its classes."""
    model.eval()
    dataset = build_plain_dataset(cfg, "train")
    features, labels = gather_classifier_features(model, dataset, batch_size=64, num_workers=0, description="train")
    rows = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    targets = torch.nn.functional.one_hot(labels, 10).float()
    solved: Tensor = torch.linalg.solve(rows.T @ rows + 1e-3 * torch.eye(rows.shape[1]), rows.T @ targets)
    with torch.no_grad():
        model.head.fc.weight.copy_(10 * solved[:-1].T)
        if model.head.fc.bias is not None:
            model.head.fc.bias.copy_(10 * solved[-1])


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By the name of the head."""
    folder = tmp_path_factory.mktemp("posthoc")
    found = {}
    for name, head in {"linear": LINEAR, "cosine": COSINE, "scaled": SCALED, "latent": LATENT}.items():
        cfg = load_config(str(CE), {**NO_VALIDATION, **head})
        torch.manual_seed(0)
        model: Any = build_model(cfg)
        if not hasattr(model.head, "scale") or name != "cosine":
            long_tailed_fit(model, cfg)
        if name == "scaled":
            model.head.scale.data.copy_(torch.linspace(0.5, 2, 10)[None])
        model.class_distribution = ClassDistribution(10)
        model.class_distribution.set_counts(get_class_counts(build_plain_dataset(cfg, "train"), 10))
        found[name] = folder / name / "epoch_1.pth"
        found[name].parent.mkdir()
        meta = {"epoch": 1, "run_record": {"note": "kept"}}
        torch.save({"state_dict": model.state_dict(), "meta": meta, "optimizer": {"state": {}}}, found[name])
    return found


def run(*arguments: str | Path, logs: Path, tool: str = TOOL) -> ToolProcess:
    done = run_tool(tool, *arguments, logs=logs)
    assert done.exit_code == 0, done.output
    return done


def test_table_figure_and_json(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """Without validation images the table says what was chosen on the test set."""
    done = run(CE, checkpoints["linear"], *GRID, *options(NO_VALIDATION), logs=tmp_path)
    lines = {line.split("  ")[0].strip(): line for line in done.log.read_text().splitlines() if "  " in line}
    beside = checkpoints["linear"].parent
    content = json.loads((beside / "posthoc_epoch_1.json").read_text())
    rows = {row["method"]: row for row in content["rows"]}
    assert [*rows] == ["as trained", "logit-adjustment", "tau-norm", "ncm", "temperature", "em"]
    for name in ("logit-adjustment", "tau-norm"):
        assert "TEST set" in lines[name]
        sweep = rows[name]["sweep"]
        assert [point["value"] for point in sweep] == [0.0, 0.25, 0.5, 0.75, 1.0]
        best = max(sweep, key=lambda point: point["balanced"])
        assert rows[name]["value"] == best["value"], "the first of equal ones"
        assert f"tau = {best['value']:g}" in lines[name]
        assert f"{best['overall']:.2f}" in lines[name] and f"{best['ece']:.2f}" in lines[name]
    assert rows["logit-adjustment"]["sweep"][0]["overall"] == rows["as trained"]["metrics"]["overall"]
    assert rows["temperature"]["metrics"]["overall"] == rows["as trained"]["metrics"]["overall"]
    assert rows["ncm"]["chosen_on"] == rows["as trained"]["chosen_on"] == "-"
    few = {name: row["metrics"]["few"] for name, row in rows.items()}
    assert few["logit-adjustment"] > few["as trained"], "the tail is better"
    assert all(0 <= row["metrics"]["train_prior"] <= 100 for row in rows.values())
    assert sum(content["trained_prior"]) == pytest.approx(1.0)
    assert "chosen on the TEST set are too good" in done.log.read_text()
    assert "left out, bbse" in done.errors.read_text()
    assert min(Image.open(beside / "posthoc_epoch_1.png").size) > 400
    assert f"wrote {beside / 'posthoc_epoch_1.json'}" in done.log.read_text()


def test_settings_are_chosen_on_validation_images(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    overrides = {**SMALL, "val_dataloader.dataset.indices": list(range(100, 300))}
    files = ("--json", tmp_path / "a.json", "--plot", tmp_path / "a.png")
    done = run(CE, checkpoints["linear"], *GRID, *files, *options(overrides), logs=tmp_path)
    rows = {row["method"]: row for row in json.loads((tmp_path / "a.json").read_text())["rows"]}
    assert {name: row["chosen_on"] for name, row in rows.items()} == {
        **dict.fromkeys(("logit-adjustment", "tau-norm", "temperature", "em", "bbse"), "val"),
        **dict.fromkeys(("as trained", "ncm"), "-"),
    }
    assert "condition" in rows["bbse"]["found"] and "shares" in rows["em"]["found"]
    assert "TEST" not in done.output


@pytest.mark.parametrize(
    ("head", "overrides", "method"),
    [
        ("linear", LINEAR, "ncm"),
        ("cosine", COSINE, "tau-norm"),
        ("scaled", SCALED, "em"),
        ("latent", LATENT, "ncm"),
    ],
)
def test_other_tools_take_the_checkpoint(
    checkpoints: dict[str, Path], head: str, overrides: dict[str, Any], method: str, tmp_path: Path
) -> None:
    """Its accuracy is that of the table; the trained classifier and the run record are kept."""
    settings = options({**NO_VALIDATION, **overrides})
    out, table = tmp_path / "new.pth", tmp_path / "table.json"
    files = ("--out", out, "--json", table, "--plot", tmp_path / "plot.png")
    run(CE, checkpoints[head], "--method", method, "--grid", "0.5", *files, *settings, logs=tmp_path)
    row = json.loads(table.read_text())["rows"][1]
    assert row["method"] == method
    metrics = tmp_path / "metrics.json"
    run(CE, out, "--work-dir", tmp_path / "test", "--out", metrics, *settings, logs=tmp_path, tool="test.py")
    found = json.loads(metrics.read_text())
    for key, name in {"accuracy_top1": "overall", "many": "many", "few": "few"}.items():
        assert found[f"shot/{key}"] == pytest.approx(row["metrics"][name], abs=1e-3)
    assert found["calibration/ece"] == pytest.approx(row["metrics"]["ece"], abs=1e-2)

    before, after = (torch.load(path, weights_only=True) for path in (checkpoints[head], out))
    assert {*after} == {"state_dict", "meta"}
    assert after["meta"]["run_record"] == {"note": "kept"}
    assert after["meta"]["posthoc"]["source"] == str(checkpoints[head])
    assert all(torch.equal(after["state_dict"][key], value) for key, value in before["state_dict"].items())


def test_experts_are_weighed_by_views_of_a_shifted_test_set(tmp_path: Path) -> None:
    """Their checkpoint answers by the weighted mean, which the table measures."""
    config, small = f"{EXPERTS}:backward10", options({"model.backbone.depth": 20})
    cfg = load_config(config, {"model.backbone.depth": 20})
    torch.manual_seed(0)
    model: Any = build_model(cfg)
    with torch.no_grad():  # the batch norms of random weights say nothing, and the first expert least
        model.head.experts[0].fc.weight.copy_(model.head.experts[0].fc.weight[:1].expand(10, -1))
    for module in (model, model.head.loss_module):
        module.class_distribution = ClassDistribution(10)
        module.class_distribution.set_counts(get_class_counts(build_plain_dataset(cfg, "train"), 10))
    trained, out, table = tmp_path / "trained.pth", tmp_path / "weighed.pth", tmp_path / "table.json"
    torch.save({"state_dict": model.state_dict(), "meta": {"epoch": 1}}, trained)
    files = ("--out", out, "--json", table, "--plot", tmp_path / "plot.png")
    run(config, trained, "--method", "expert-weights", *files, *small, logs=tmp_path)
    row = json.loads(table.read_text())["rows"][1]
    assert (row["method"], row["chosen_on"], row["value"]) == ("expert-weights", "-", None)
    weights = [float(word) for word in row["found"].split(",")[0].split()[1:]]
    assert len(weights) == 3
    assert sum(weights) == pytest.approx(1, abs=0.02)
    state = torch.load(out, weights_only=True)["state_dict"]
    blocks = (state["head.adjusted.weight"] / model.head.affine()[0] / 3).chunk(3, dim=1)
    for block, weight in zip(blocks, weights, strict=True):
        assert torch.allclose(block, block[0, 0], rtol=1e-4)
        assert float(block[0, 0]) == pytest.approx(weight, abs=0.006)
    metrics = tmp_path / "metrics.json"
    run(config, out, "--work-dir", tmp_path / "test", "--out", metrics, *small, logs=tmp_path, tool="test.py")
    assert json.loads(metrics.read_text())["shot/accuracy_top1"] == pytest.approx(row["metrics"]["overall"], abs=1e-3)


def test_a_head_that_answers_for_a_uniform_prior(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """Trained on balanced batches: logit adjustment is left out with a line, and refused where it is asked for."""
    config = tmp_path / "balanced_r32_digits.py"
    sampler = "train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))"
    config.write_text(f"_base_ = [{str(CE)!r}]\n{sampler}\n")
    overrides = options(NO_VALIDATION)
    files = ("--json", tmp_path / "a.json", "--plot", tmp_path / "a.png")
    done = run(config, checkpoints["linear"], "--grid", "1", *files, *overrides, logs=tmp_path / "all")
    assert "left out, logit-adjustment: the loss or the sampler of this model has already" in done.errors.read_text()
    content = json.loads((tmp_path / "a.json").read_text())
    assert "logit-adjustment" not in [row["method"] for row in content["rows"]]
    assert content["trained_prior"] == pytest.approx([0.1] * 10, abs=0.01)
    expect_errors(
        TOOL,
        {(config, checkpoints["linear"], "--method", "logit-adjustment", *overrides): "would favour rare classes"},
        tmp_path / "asked",
    )


def test_refuses(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    linear, small = checkpoints["linear"], options(NO_VALIDATION)
    content = torch.load(linear, weights_only=True)
    uncounted, adjusted = tmp_path / "uncounted.pth", tmp_path / "adjusted.pth"
    state = {key: value for key, value in content["state_dict"].items() if "class_distribution" not in key}
    torch.save({"state_dict": state}, uncounted)
    weights = {"head.adjusted.weight": torch.ones(10, 64), "head.adjusted.bias": torch.ones(10)}
    torch.save({"state_dict": {**content["state_dict"], **weights}}, adjusted)
    expect_errors(
        TOOL,
        {
            (CE, linear, "--out", tmp_path / "x.pth", *small): "writes one method; name it",
            (CE, linear, "--method", "ncm", "--out", tmp_path / "x.txt", *small): "must end in .pth",
            (CE, linear, "--grid", "0:2", *small): "must be FROM:TO:STEP",
            (CE, linear, "--grid", "0:2:0.001", *small): "at most 201 settings",
            (CE, linear, "--method", "magic", *small): "invalid choice: 'magic'",
            (CE, linear, "--method", "bbse", *small): "no validation images beside its test images",
            (CE, linear, "--method", "expert-weights", *small): "this one has a single classifier",
            (CE, linear, "--method", "ncm", "--out", linear, *small): "epoch_1.pth",
            (CE, uncounted, *small): "has no class counts",
            (CE, adjusted, *small): "was adjusted already",
            (f"{CE}:r20", checkpoints["cosine"]): "is a checkpoint of another model",
        },
        tmp_path / "logs",
    )


def test_the_names_of_the_command_line_are_those_of_the_room() -> None:
    """The tool lists them itself, so that --help imports nothing."""
    from lt_plugins.posthoc.methods import METHODS
    from tools import posthoc as tool

    assert tuple(METHODS) == tool.NAMES
