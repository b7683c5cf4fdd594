from __future__ import annotations

import math
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from lt_plugins.analysis import attributes, inspection, latents
from lt_plugins.analysis.attributes import AttributePage
from lt_plugins.analysis.contrast_page import ContrastPage
from lt_plugins.analysis.inspection import PAGES, find_pages, page_types, set_up_pages
from lt_plugins.analysis.latents import LatentPage
from lt_plugins.analysis.page import AnalysisPage
from lt_plugins.analysis.subclasses import SubclassPage, SubclassSections
from lt_plugins.analysis.trained_model import TrainedModel
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.shot_thresholds import ShotThresholds
from lt_plugins.models.heads import LPAHead
from lt_plugins.runs.config import load_stages
from lt_plugins.visualization import FigurePage
from tests.tool_process import ROOT
from tests.visualization.test_html import read


def _stages(config: str) -> dict[int, Config]:
    return dict(enumerate(load_stages(str(ROOT / "configs" / config))))


def test_pages_are_registered_by_their_names() -> None:
    assert [page.name for page in page_types()] == list(PAGES)
    assert list(PAGES) == ["attributes", "contrast", "glt", "latents", "subclasses", "translations"]
    for path in PAGES.values():
        assert issubclass(pkgutil.resolve_name(path), AnalysisPage)


@pytest.mark.parametrize(
    ("config", "index", "pages"),
    [
        ("lpa/lpa_r32_digits.py", 0, [AttributePage, ContrastPage]),
        ("lcreg/lcreg_r32_digits.py", 1, [LatentPage]),
        ("lcreg/lcreg_r32_digits.py:stage1", 0, [LatentPage]),
        ("paco/paco_r32_digits.py", 0, [ContrastPage]),
        ("sbcl/sbcl_r32_digits.py", 0, [ContrastPage, SubclassPage]),
    ],
)
def test_last_stage_with_a_page(config: str, index: int, pages: list[type[AnalysisPage]]) -> None:
    stages = _stages(config)
    found = find_pages(stages)
    assert (found.stage, found.pages) == (index, pages)
    assert [page for page in page_types() if page.fits(found.model, stages[index])] == pages
    assert [find_pages(stages, page.name).pages for page in pages] == [[page] for page in pages]
    names = [page.name for page in pages]
    missing = next(name for name in PAGES if name not in ("contrast", *names))
    with pytest.raises(UserInputError, match=rf"which learns no {missing} but {' and '.join(names)}; use a config"):
        find_pages(stages, missing)


def test_nothing_to_inspect() -> None:
    with pytest.raises(
        UserInputError,
        match=r"LinearHead with the loss \w+, which learns nothing that can be inspected; use a config with LPAHead",
    ):
        find_pages(_stages("ce/ce_r32_digits.py"))
    stages = _stages("sbcl/sbcl_r32_digits.py")
    with pytest.raises(UserInputError, match=r"head is \w+ with the loss LDAMLoss, which learns nothing"):
        find_pages({1: stages[1]})


class GeometryPage(AnalysisPage):
    """A page of another module, for whatever classifies."""

    name = "geometry"
    title = "Geometry"
    needs = "any head"
    defaults = {"seed": 3, "classes": ()}

    @staticmethod
    def fits(model: Any, cfg: Config) -> bool:
        assert cfg.model.head.type
        return isinstance(model.head, nn.Module)

    def check_options(self) -> None:
        if self.options.seed < 0:
            raise UserInputError("no")

    def write(self, cfg: Config, trained: TrainedModel, run: str, out_dir: Path | None = None) -> str:
        page = self.open(trained, run, out_dir)
        page.add_text(f"{cfg.model.type}, seed {self.options.seed}, classes {self.options.classes}")
        return page.finish()


def test_a_further_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a line in PAGES; a model may have several pages, and each gets its own options."""
    monkeypatch.setitem(inspection.PAGES, "geometry", f"{__name__}:GeometryPage")
    stages = _stages("lpa/lpa_r32_digits.py")
    found = find_pages(stages)
    assert [page.name for page in found.pages] == ["attributes", "contrast", "geometry"]
    assert [page.name for page in find_pages(stages, "geometry").pages] == ["geometry"]
    shown, _, geometry = set_up_pages(found.pages, {"top": 4, "classes": ["7"], "config": "x.py", "seed": 5})
    assert (shown.options.top, shown.options.classes, shown.options.split) == (4, ["7"], "train")
    assert vars(geometry.options) == {"seed": 5, "classes": ["7"]}
    trained = TrainedModel(found.model, tmp_path / "epoch_3.pth", 3)
    assert geometry.write(stages[0], trained, "lpa/x").startswith(f"wrote {tmp_path / 'geometry_epoch_3/index.html'}")
    reader = read(tmp_path / "geometry_epoch_3/index.html")
    assert "Geometry: lpa/x" in reader.text and "seed 5, classes ['7']" in reader.text


def test_options_of_other_pages_are_refused() -> None:
    assert vars(set_up_pages([SubclassPage], {})[0].options) == SubclassPage.defaults
    with pytest.raises(
        UserInputError, match=r"^--top does not apply to subclasses; there are --classes, --num-classes"
    ):
        set_up_pages([SubclassPage], {"top": 3, "classes": ["a"]})
    with pytest.raises(UserInputError, match=r"^--latents, --seed does not apply to attributes; .* --max-per-class\.$"):
        set_up_pages([AttributePage], {"latents": [3], "seed": 1})
    for pages, options in (([AttributePage], {"top": 0}), ([LatentPage], {"max_per_class": 0})):
        with pytest.raises(UserInputError, match="must be 1 or more"):
            set_up_pages(pages, options)


def test_a_class_that_no_attribute_describes() -> None:
    head = LPAHead(num_classes=4, in_channels=2, num_attributes=3, attributes_per_class=1)
    head.attribute_labels[:3, 0] = True
    names = ["maple_tree", "1", "oak_tree", "3"]
    assert [attributes.find_class(query, names, head) for query in ("oak_tree", "0")] == [2, 0]
    with pytest.raises(UserInputError, match="class 3 had no training image"):
        attributes.find_class("3", names, head)


def test_a_class_without_images() -> None:
    labels = np.arange(10)
    names = list(map(str, range(10)))
    assert [latents.find_class(query, names, labels) for query in ("9", "0")] == [9, 0]
    with pytest.raises(UserInputError, match="class 9 has no image in the searched set; try the other --split"):
        latents.find_class("9", names, labels[labels != 9])


def test_groups_of_subclasses_follow_the_metric(tmp_path: Path) -> None:
    labels = torch.tensor([0] * 9 + [1] * 5 + [2] * 2)
    arguments = (FigurePage("t", tmp_path), torch.eye(16), labels, labels, ["a", "b", "c"], 9, 0)
    assert SubclassSections(*arguments).groups.tolist() == ["few"] * 3
    assert SubclassSections(*arguments, ShotThresholds(6, 3)).groups.tolist() == ["many", "medium", "few"]


def test_sections_of_subclasses(tmp_path: Path) -> None:
    """Class 0 has two subclasses, class 1 is whole, class 2 is empty, class 3 is few-shot and split."""
    sizes = {(0, 4): 90, (0, 7): 30, (1, 2): 25, (3, 0): 3, (3, 9): 1}
    labels = torch.cat([torch.full((size,), label) for (label, _), size in sizes.items()])
    subclass = torch.cat([torch.full((size,), number) for (_, number), size in sizes.items()])
    features = torch.eye(10)[subclass]
    page = FigurePage("t", tmp_path)
    sections = SubclassSections(page, features, labels, subclass, ["a", "b <i>", "c", "d"], max_points=50, seed=0)
    assert sections.largest_first() == [0, 1, 3]
    sections.add_distances()
    sections.add_sizes()
    sections.add_split_classes([0, 1])
    sections.add_head_classes(2)
    sections.add_all_classes(torch.tensor([0.1, 0.25, 0.3, 0.1234]))
    page.finish()
    reader = read(tmp_path / "index.html")
    assert "4 images are drawn of each many- and medium-shot class, as many as the median few-shot class" in reader.text
    distances, groups, classes = reader.tables
    assert [row[:2] for row in distances[1:]] == [["many", "4"], ["medium", "4"], ["few", "4"]]
    # One image of class 3 is sqrt(2) away from the three others, which lie together.
    few = [2 * 3 * math.sqrt(2) / 4 / 4, 0, 2 * 3 * math.sqrt(2) / 3 / 4, 0]
    assert [float(cell) for cell in distances[3][2:]] == pytest.approx(few, abs=0.005)
    assert distances[2][2:] == ["0.00"] * 4
    assert groups == [
        ["group", "classes", "split classes", "subclasses", "smallest part", "largest part", "largest / smallest"],
        ["all", "3", "2", "5", "1", "90", "90.00"],
        ["many", "1", "1", "2", "30", "90", "3.00"],
        ["medium", "1", "0", "1", "", "", ""],
        ["few", "1", "1", "2", "1", "3", "3.00"],
    ]
    assert classes == [
        ["class", "group", "images", "subclasses", "smallest", "largest", "temperature tau_2"],
        ["a", "many", "120", "2", "30", "90", "0.100"],
        ["b <i>", "medium", "25", "1", "25", "25", "0.250"],
        ["d", "few", "4", "2", "1", "3", "0.123"],
    ]
    assert "Class a: 120 images in 2 subclasses, 50 of 120 images" in reader.text
    assert "Class b <i>: not split" in reader.text and "The 2 largest classes, 50 of 145 images" in reader.text
    names = ["distances", "sizes", "class_0_a", "class_1_b_i_", "head_classes"]
    assert page.figure_names == [f"{name}.png" for name in names]
