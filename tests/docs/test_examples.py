"""The examples in README.md and docs/ are run, so that they cannot rot."""

import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

ROOT = Path(__file__).resolve().parents[2]


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


def load_config(text, tmp_path, name):
    """Load a config of the documentation, whose ``_base_`` is relative to the repository."""
    path = tmp_path / name
    path.write_text(text.replace('"configs/', f'"{ROOT}/configs/'))
    return Config.fromfile(path, import_custom_modules=False)


def test_the_worked_example_trains_and_has_the_classes_prior(tmp_path, monkeypatch):
    code, config = python_blocks("docs/adding_a_method.md")
    (tmp_path / "my_method.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    __import__("my_method")
    try:
        cfg = load_config(config, tmp_path, "my_method_digits.py")
        model = MODELS.build(cfg.model)
        counts = torch.tensor([50, 40, 30, 20, 10, 5, 4, 3, 2, 1])
        model.head.loss_module.class_distribution.set_counts(counts)
        logits, labels = torch.randn(4, 10), torch.tensor([0, 9, 3, 3])
        expected = -((logits + (counts / counts.sum()).log()).log_softmax(1)[torch.arange(4), labels]).mean()
        assert float(model.head.loss_module(logits, labels)) == pytest.approx(float(expected), rel=1e-5)
        samples = [DataSample().set_gt_label(int(label)) for label in labels]
        loss = model.loss(torch.randn(4, 3, 32, 32), samples)["loss"]
        loss.backward()
        assert torch.isfinite(model.backbone.conv1.weight.grad).all()
    finally:
        MODELS._module_dict.pop("MyLogitAdjustmentLoss")
        sys.modules.pop("my_method")


def test_the_own_folder_config_of_the_readme_builds(tmp_path):
    [config] = python_blocks("README.md")
    cfg = load_config(config, tmp_path, "my_data.py")
    assert cfg.train_dataloader.dataset.type == "FolderDataset"
    assert cfg.train_dataloader.dataset.data_root == "my_data"
    assert [step["type"] for step in cfg.train_dataloader.dataset.pipeline] == ["LoadImage", "MultiView", "PackInputs"]
    assert cfg.val_dataloader.dataset.test_mode
    assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == 12
    assert len(config.strip().splitlines()) <= 10
    assert MODELS.build({**cfg.model, "data_preprocessor": cfg.data_preprocessor}).head.fc.out_features == 12


def test_links_of_the_documentation_lead_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "configs").rglob("README.md")]
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not missing
