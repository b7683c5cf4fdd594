"""Any imbalance factor: CONFIG.py:ltN and --imbalance-factor N, of ready datasets and of own images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, add_config_arguments, add_imbalance_argument
from lt_plugins.runs.config import load_config, read_stages
from lt_plugins.runs.imbalance import image_draw, with_factor
from lt_plugins.runs.spec import run_name

DIGITS = "ce/ce_r32_digits"


@pytest.mark.parametrize(
    ("spec", "factor", "expected"),
    [
        ("a.py", "20", "a.py:lt20"),
        ("a.py:r20,folders", "12.5", "a.py:r20,folders,lt12.5"),
        ("ce/ce_r32_digits", "200", "ce/ce_r32_digits:lt200"),
    ],
)
def test_the_option_is_a_variant(spec: str, factor: str, expected: str) -> None:
    assert with_factor(spec, factor) == expected
    parser = ToolParser()
    add_config_arguments(parser)
    add_imbalance_argument(parser)
    assert parser.parse_args([spec, "--imbalance-factor", factor]).config == expected


@pytest.mark.parametrize("factor", ["0", "0.5", "-3", "1e3", "nan", "many", "", "20 "])
def test_what_is_no_factor(factor: str) -> None:
    with pytest.raises(UserInputError, match=r"--imbalance-factor .* must be a number of at least 1"):
        with_factor("a.py", factor)


def test_two_factors() -> None:
    with pytest.raises(UserInputError, match=r"a.py:lt50 names an imbalance factor, and --imbalance-factor 20 another"):
        with_factor("a.py:lt50", "20")


@pytest.mark.parametrize(
    ("spec", "factor"),
    [
        ("ce/ce_r32_cifar100-lt:lt200", 200),
        ("ce/ce_r32_cifar100-lt:lt50", 50),
        ("configs/_base_/datasets/cifar10-lt.py:lt20", 20),
        ("_base_/datasets/digits.py:lt12.5", 12.5),
        ("mislas/mislas_r32_cifar100-lt:lt20", 20),
        ("metasaug/metasaug_r32_cifar10-lt:lt20", 20),
    ],
)
def test_every_factor_of_a_config(spec: str, factor: float) -> None:
    """Those that a config has no variant for, and those that it has one for."""
    for stage in read_stages(spec):
        assert stage.train_dataloader.dataset.imbalance_factor == factor
    assert run_name(spec).endswith(f"+lt{factor:g}")


def test_a_config_without_a_profile() -> None:
    with pytest.raises(
        UserInputError, match=r"imagenet-lt.py:lt20: its training images \(ImageListDataset\) are taken"
    ):
        load_config("ce/ce_x50_imagenet-lt:lt20")
    with pytest.raises(UserInputError, match="has no variant 'ltx'"):
        load_config(f"{DIGITS}:ltx")


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("variant", ["lt4", "lt50"])  # the second one is a variant of CIFAR's base too
def test_own_images_are_cut_by_the_sizes_of_their_classes(is_split: bool, variant: str, tmp_path: Path) -> None:
    """Validation images stay as they are, and are no training images."""
    sizes = {"ash": 6, "birch": 40, "cedar": 12}
    for name, size in sizes.items():
        for number in range(size):
            path = tmp_path / ("train" if is_split else "") / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        if is_split:
            (tmp_path / "val" / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / "val" / name / "0.png")
    spec = f"ce/ce_r32_cifar10-lt:{variant}"
    cfg = load_config(spec, data=str(tmp_path))
    assert cfg.model.head.num_classes == 3
    if variant == "lt50":
        with pytest.raises(UserInputError, match=r"imbalance_factor=50 would leave a class without images: .* at most"):
            build_plain_dataset(cfg, "train")
        return
    train, whole = (build_plain_dataset(load_config(name, data=str(tmp_path)), "train") for name in (spec, spec[:-4]))
    counts = train.class_counts.tolist()
    assert counts == ([6, 25, 12] if is_split else [5, 21, 10])  # as many as the smallest classes allow
    assert len(whole) == (sum(sizes.values()) if is_split else len(whole)) > len(train)
    val = build_plain_dataset(cfg, "val")
    assert val.metainfo["classes"] == ("ash", "birch", "cedar")
    assert cfg.val_dataloader.dataset.type != "LongTailDataset"
    paths = [{dataset.get_data_info(i)["img_path"] for i in range(len(dataset))} for dataset in (train, val)]
    assert not paths[0] & paths[1]


def test_the_draw_that_tables_name() -> None:
    assert image_draw(load_config(DIGITS)) == "ldam"
    assert image_draw(load_config(DIGITS, {"train_dataloader.dataset.draw": "first"})) == "first"
    assert image_draw(load_config("ce/ce_x50_imagenet-lt")) is None
    assert image_draw({}) is None


def test_the_draw_of_the_run_follows_its_seed() -> None:
    draw = {"train_dataloader.dataset.draw": "choice"}
    for seed in (0, 3):
        cfg = load_config(DIGITS, {**draw, "randomness.seed": seed})
        assert cfg.train_dataloader.dataset.seed == seed
    assert load_config(DIGITS, {**draw, "train_dataloader.dataset.seed": 7}).train_dataloader.dataset.seed == 7
    assert "seed" not in load_config(DIGITS).train_dataloader.dataset
    with pytest.raises(UserInputError, match=r"draw='choice' draws by the seed of the run; give it, randomness.seed=0"):
        load_config(DIGITS, {**draw, "randomness.seed": None})
