"""Attributes beside another contrastive loss: the variant keeps what the method needs, also where it is inherited."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lt_plugins.engine.clusterings import AttributeClustering
from lt_plugins.engine.hooks import ReclusterHook
from lt_plugins.models.losses.pseudo_attributes import find_pseudo_attributes
from lt_plugins.runs.config import load_stages
from tests.configs.catalogue import CONFIGS, ROOT, file_of, name_of, stages_of
from tests.engine.hooks.test_recluster_hook import make_runner

WITH_ATTRIBUTES = [path for path in CONFIGS if "attributes" in file_of(str(path)).get("variants", {})]


@pytest.mark.parametrize("path", WITH_ATTRIBUTES, ids=name_of)
def test_attributes_add_one_loss_and_its_clustering(path: Path) -> None:
    plain, with_attributes = stages_of(path)[0], load_stages(f"{path}:attributes")[0]
    ours = [hook for hook in with_attributes.custom_hooks if hook.get("task", {}).get("type") == "AttributeClustering"]
    assert [hook for hook in with_attributes.custom_hooks if hook not in ours] == plain.custom_hooks
    (hook,) = ours
    assert hook.start * 10 >= plain.train_cfg.max_epochs
    aux = with_attributes.model.pop("aux_losses")
    assert with_attributes.model == plain.model
    head = plain.model.head
    loss = head.get("contrast_loss") or head.loss
    assert aux.attribute.type == "AttributePositives"
    assert aux.attribute.get("temperature", 0.1) == loss.temperature, "that of the loss beside it"


def test_all_that_the_issue_names_have_them() -> None:
    folders = {path.relative_to(ROOT / "configs").parts[0] for path in WITH_ATTRIBUTES}
    assert {"bcl", "proco", "scl"} <= folders
    assert not {"lpa", "paco"} & folders, "PaCo with attributes is LPA"


@pytest.mark.parametrize("path", [path for path in WITH_ATTRIBUTES if "_digits" in path.stem], ids=name_of)
def test_a_run_finds_attributes_and_learns_by_them(path: Path, tmp_path: Path) -> None:
    runner = make_runner(
        tmp_path,
        f"{path}:attributes" + (",stage1" if len(stages_of(path)) > 1 else ""),
        **{"model.aux_losses.attribute.num_attributes": 12, "train_cfg.max_epochs": 2, "scale_schedule": False},
    )
    (hook,) = (h for h in runner.hooks if isinstance(h, ReclusterHook) and isinstance(h.task, AttributeClustering))
    hook.start, hook.num_workers = 1, 0
    runner.train()
    tables = find_pseudo_attributes(runner.model)
    assert tables is not None
    assert tables.prototypes.shape == (12, 64)
    assert (tables.attribute_labels.sum(dim=1) == 5).all()
    values = runner.message_hub.get_scalar("train/loss_attribute").data[0].tolist()
    half = len(values) // 2
    assert values[:half] == [0] * half
    assert min(values[half:]) > 0
    assert math.isfinite(runner.message_hub.get_scalar("train/loss").current())
