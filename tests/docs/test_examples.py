"""The examples in README.md and docs/ are run, so that they cannot rot."""

import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_config as load_tool_config
from lt_plugins.runs.config import read_stages
from tests.datasets.test_splits import write_folders

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "benchmarks/README.md")),
    *(path for folder in ("docs", "docs/tutorials") for path in (ROOT / folder).glob("*.md")),
    *(ROOT / "configs").rglob("README.md"),
]
SPEC = re.compile(r"(?<![\w/])configs/[\w./-]+\.py(?::[\w.,-]*\w)?")


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


def load_config(text, tmp_path, name):
    """Load a config of the documentation, whose ``_base_`` is relative to the repository."""
    path = tmp_path / name
    path.write_text(text.replace('"configs/', f'"{ROOT}/configs/'))
    return Config.fromfile(path, import_custom_modules=False)


@pytest.mark.parametrize(("page", "num_classes"), [("README.md", 100), ("docs/adding_a_method.md", 10)])
def test_the_worked_example_trains_and_has_the_classes_prior(page, num_classes, tmp_path, monkeypatch):
    code, config = python_blocks(page)
    assert page != "README.md" or len((code + config).splitlines()) <= 25
    (tmp_path / "my_method.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    __import__("my_method")
    try:
        cfg = load_config(config, tmp_path, "my_method_config.py")
        model = MODELS.build(cfg.model)
        counts = torch.arange(1, num_classes + 1)
        model.head.loss_module.class_distribution.set_counts(counts)
        logits, labels = torch.randn(4, num_classes), torch.tensor([0, 9, 3, 3])
        expected = -((logits + (counts / counts.sum()).log()).log_softmax(1)[torch.arange(4), labels]).mean()
        assert float(model.head.loss_module(logits, labels)) == pytest.approx(float(expected), rel=1e-5)
        samples = [DataSample().set_gt_label(int(label)) for label in labels]
        loss = model.loss(torch.randn(4, 3, 32, 32), samples)["loss"]
        loss.backward()
        assert torch.isfinite(model.backbone.conv1.weight.grad).all()
        assert_takes_mixtures_and_class_weights(cfg.model.head.loss, counts, logits)
    finally:
        MODELS._module_dict.pop("MyLogitAdjustmentLoss")
        sys.modules.pop("my_method")


def assert_takes_mixtures_and_class_weights(config, counts, logits):
    """What the pages promise of the base class, of the rows of a batch one by one."""
    loss = MODELS.build({**config, "class_weight": "inverse", "reweight_from": 2})
    loss.class_distribution.set_counts(counts)
    loss.set_epoch(2, 3)
    shares = torch.zeros_like(logits)
    shares[:, 1], shares[:, 9] = 0.4, 0.6
    adjusted = -(logits + (counts / counts.sum()).log()).log_softmax(1)
    weights = torch.tensor([0.4, 0.6]) / counts[[1, 9]]
    expected = (weights * adjusted[:, [1, 9]].mean(dim=0)).sum() / weights.sum()
    assert float(loss(logits, shares)) == pytest.approx(float(expected), rel=1e-5)


def test_the_command_for_own_images_of_the_readme(tmp_path):
    [spec, name] = re.search(r"tools/train.py +(\S+) --data (\w+)", (ROOT / "README.md").read_text()).groups()
    write_folders(tmp_path / name, {"ant": 9, "bee": 4, "cat": 1})
    cfg = load_tool_config(str(ROOT / spec), data=str(tmp_path / name))
    assert cfg.train_dataloader.dataset.dataset.data_root == str(tmp_path / name)
    assert cfg.train_dataloader.dataset.dataset.pipeline[0]["type"] == "LoadImage"
    assert MODELS.build({**cfg.model, "data_preprocessor": cfg.data_preprocessor}).head.fc.out_features == 3


def test_configs_that_the_documentation_names_exist():
    history = {ROOT / "results/README.md", ROOT / "CONTRIBUTING.md"}  # commands of older commits; a method to come
    specs = {spec: page for page in PAGES if page not in history for spec in SPEC.findall(page.read_text())}
    wrong = []
    for spec, page in specs.items():
        try:
            if "_base_" not in spec:
                read_stages(str(ROOT / spec))
            else:
                assert (ROOT / spec).is_file(), spec
        except UserInputError as error:
            wrong.append(f"{page.relative_to(ROOT)}: {error}")
    assert len(specs) > 30
    assert not wrong


def test_links_of_the_documentation_lead_somewhere():
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not missing


def test_the_readme_is_short():
    """Words with a letter or digit, code included; what grows with the methods is in docs/methods.md."""
    assert len(re.findall(r"\S*\w\S*", (ROOT / "README.md").read_text())) <= 400


def test_the_tree_of_the_architecture_page_is_that_of_the_package():
    text = (ROOT / "docs/architecture.md").read_text()
    tree = re.search(r"```text\nlt_plugins/\n(.*?)\nconfigs/", text, flags=re.DOTALL)[1]
    path, named = [], set()
    for indent, name in re.findall(r"^( +)(\w+)/", tree, flags=re.MULTILINE):
        path = [*path[: len(indent) // 2 - 1], name]
        named.add("/".join(path))
    folders = {str(init.parent.relative_to(ROOT / "lt_plugins")) for init in (ROOT / "lt_plugins").rglob("__init__.py")}
    assert named == folders - {"."}
    assert named >= {"models/losses", "engine/hooks"}


def test_files_that_the_architecture_page_names_exist():
    text = (ROOT / "docs/architecture.md").read_text()
    files = {name for name in re.findall(r"`([\w./-]+\.(?:py|json|md))`", text) if "/" in name}
    assert len(files) > 20
    assert [
        name for name in sorted(files) if not ((ROOT / name).exists() or (ROOT / "lt_plugins" / name).exists())
    ] == []
