"""Attributes beside another contrastive loss: the variant keeps what the method needs, also where it is inherited."""

from __future__ import annotations

from pathlib import Path

import pytest

from lt_plugins.runs.config import load_stages
from tests.configs.catalogue import CONFIGS, ROOT, file_of, name_of, stages_of

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
    assert {"scl"} <= folders
    assert not {"lpa", "paco"} & folders, "PaCo with attributes is LPA"
