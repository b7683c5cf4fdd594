"""The thresholds of ShotAccuracy in a config are those of everything that shows groups of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lt_plugins.analysis.trained_model import load_trained_model
from lt_plugins.checks.preflight import preflight_summary
from lt_plugins.engine.hooks.class_distribution_hook import class_distributions
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.evaluation.shot_thresholds import shot_thresholds
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.cli import (
    ToolParser,
    add_config_arguments,
    add_shot_thresholds_argument,
    config_overrides,
    override_texts,
    parse_overrides,
)
from lt_plugins.runs.config import load_stages
from tests.small_runs import MakeRunner
from tests.tool_process import ROOT

SHOT = {"type": "ShotAccuracy", "many_threshold": 6, "few_threshold": 3}


@pytest.mark.parametrize(
    ("cfg", "expected"),
    [
        ({}, (100, 20)),
        ({"val_evaluator": None, "test_evaluator": [{"type": "Accuracy"}]}, (100, 20)),
        ({"val_evaluator": {"type": "ShotAccuracy"}}, (100, 20)),
        ({"val_evaluator": {"type": "ShotAccuracy", "many_threshold": 50}}, (50, 20)),
        ({"test_evaluator": [{"type": "CalibrationError"}, SHOT]}, (6, 3)),
        ({"val_evaluator": {"type": "Evaluator", "metrics": [{"type": "lt_plugins.ShotAccuracy", **SHOT}]}}, (6, 3)),
    ],
)
def test_thresholds_of_a_config(cfg: dict[str, Any], expected: tuple[int, int]) -> None:
    assert shot_thresholds(cfg) == expected


def test_validation_and_test_must_agree() -> None:
    with pytest.raises(
        UserInputError, match="many_threshold=6 and few_threshold=3 in val_evaluator, but 100 and 20 in"
    ):
        shot_thresholds({"val_evaluator": SHOT, "test_evaluator": {"type": "ShotAccuracy"}})
    assert shot_thresholds({"val_evaluator": SHOT, "test_evaluator": [SHOT]}) == (6, 3)


def test_summary_table_and_gallery_follow_the_metric(make_runner: MakeRunner) -> None:
    """Classes of 8 to 1 images: none is many-shot by the thresholds of the field."""
    runner = make_runner(
        **{
            "val_evaluator": [SHOT],
            "test_evaluator": [SHOT],
            "train_cfg.max_epochs": 1,
            "train_cfg.val_interval": 1,
            "log_level": "INFO",
        }
    )
    runner.model.head.loss_module.class_distribution = ClassDistribution()
    runner.train()
    counts = runner.model.class_distribution.counts.tolist()
    groups = ["many" if n > 6 else "few" if n < 3 else "medium" for n in counts]
    assert set(groups) == {"many", "medium", "few"}
    assert [distribution.groups for distribution in class_distributions(runner.model)] == [groups, groups]

    (log,) = Path(runner.work_dir).glob("*/*.log")
    number = {group: groups.count(group) for group in ("many", "medium", "few")}
    shown = f"{number['many']} many (> 6 images), {number['medium']} medium, {number['few']} few (< 3)"
    assert shown in log.read_text()
    assert shown in preflight_summary(
        runner.model, "data", [], device="cpu", world_size=1, batch_parts=(1, 1), num_batches=1, max_epochs=1
    )
    (table,) = Path(runner.work_dir).glob("*/per_class.csv")
    found = ClassTable.load(table).groups
    assert found is not None
    assert found.tolist() == groups
    model = load_trained_model(runner.cfg, runner.work_dir).model
    assert model.class_distribution.groups == groups


CONFIG = str(ROOT / "configs/mislas/mislas_r32_digits.py")


def test_the_option_reaches_the_metrics_of_all_stages() -> None:
    parser = ToolParser()
    add_config_arguments(parser)
    add_shot_thresholds_argument(parser)
    args = parser.parse_args([CONFIG, "--shot-thresholds", "50", "10"])
    stages = load_stages(args.config, config_overrides(args))
    assert len(stages) == 2
    for cfg in stages:
        assert shot_thresholds(cfg) == (50, 10)
        assert "shot_thresholds" not in cfg
    assert override_texts(args) == ["shot_thresholds=[50,10]"]
    again = load_stages(args.config, parse_overrides(override_texts(args)))
    assert [shot_thresholds(cfg) for cfg in again] == [(50, 10), (50, 10)]


@pytest.mark.parametrize("given", [(10, 50), (5, -1), (50,), 50, (50, 2.5), "ab"])
def test_thresholds_out_of_range(given: Any) -> None:
    with pytest.raises(UserInputError, match=r"--shot-thresholds .* must be two whole numbers MANY FEW"):
        load_stages(CONFIG, {"shot_thresholds": given})
