"""tools/inspect_model.py on runs of two epochs (LPA, SBCL) and on models with random weights (both stages of LCReg).

What fits several pages is mostly asked for one by name, which saves time.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lt_plugins.analysis.inspection import page_types
from lt_plugins.analysis.latent_usage import effective_number, measure_latents
from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.models.build import build_model
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.config import load_config
from tests.checkpoints.test_checkpoint import Touch
from tests.tool_process import ROOT, ToolProcess, expect_errors, run_tool, start_tool
from tests.visualization.test_html import read

TOOL = "inspect_model.py"
LPA = ROOT / "configs/lpa/lpa_r32_digits.py"
LCREG = ROOT / "configs/lcreg/lcreg_r32_digits.py"
LCREG_STAGE_1 = ROOT / "configs/lcreg/lcreg_r32_digits.py:stage1"
SBCL = ROOT / "configs/sbcl/sbcl_r32_digits.py"
CE = ROOT / "configs/ce/ce_r32_digits.py"
# What makes the models small; whoever reads their checkpoints needs it as well.
OVERRIDES: dict[Path, dict[str, int]] = {
    LPA: {
        "model.backbone.depth": 20,
        "model.head.num_attributes": 12,
        "train_dataloader.dataset.max_count": 20,
        "train_dataloader.dataset.imbalance_factor": 10,
    },
    LCREG: {
        "model.backbone.depth": 20,
        "model.head.num_latents": 9,
        "train_dataloader.dataset.max_count": 110,
        "train_dataloader.dataset.imbalance_factor": 55,
    },
    SBCL: {
        "model.backbone.depth": 20,
        "train_dataloader.dataset.max_count": 60,
        "train_dataloader.dataset.imbalance_factor": 30,
    },
}
OVERRIDES[LCREG_STAGE_1] = dict(OVERRIDES[LCREG])
OVERRIDES[LCREG]["stage2.model.head.num_latents"] = 9


def _small(config: Path) -> list[str]:
    return ["--cfg-options", *(f"{key}={value}" for key, value in OVERRIDES[config].items())]


def _train(config: Path, work_dir: Path, *overrides: str) -> None:
    """Two epochs with a clustering before the second."""
    hooks = load_config(str(config), stage=1).custom_hooks
    recluster = f"custom_hooks.{[hook.type for hook in hooks].index('ReclusterHook')}"
    options = [f"{recluster}.start=1", f"{recluster}.num_workers=0", *(recluster + one for one in overrides)]
    first_stage = Path(f"{config}:stage1") if config == SBCL else config
    overridden = [*_small(config), *options, "train_cfg.max_epochs=2", "train_cfg.val_interval=9"]
    done = run_tool("train.py", first_stage, "--work-dir", work_dir, *overridden, logs=work_dir.parent / "logs")
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def lpa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work dir of an LPA run."""
    work_dir = tmp_path_factory.mktemp("runs") / "lpa"
    _train(LPA, work_dir, ".task.samples_per_attribute=40")
    return work_dir


@pytest.fixture(scope="module")
def sbcl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work dir of the first stage of an SBCL run."""
    work_dir = tmp_path_factory.mktemp("runs") / "sbcl/stage1"
    _train(SBCL, work_dir)
    return work_dir


def _lcreg_model(config: Path) -> Any:
    torch.manual_seed(0)
    model: Any = build_model(load_config(str(config), OVERRIDES[config]))
    with torch.no_grad():
        model.head.latent_pool.latents.mul_(12)  # similarities all over the range
    return model


@pytest.fixture(scope="module")
def lcreg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a run in two stages leaves it; only the root of the model of stage 1 knows the class counts."""
    work_dir = tmp_path_factory.mktemp("runs") / "lcreg"
    counts = get_class_counts(
        build_plain_dataset(load_config(str(LCREG_STAGE_1), OVERRIDES[LCREG_STAGE_1]), "train"), 10
    )
    for config, folder, epoch in ((LCREG_STAGE_1, work_dir / "stage1", 30), (LCREG, work_dir, 10)):
        folder.mkdir(parents=True, exist_ok=True)
        model = _lcreg_model(config)
        model.class_distribution = ClassDistribution(10)
        model.class_distribution.set_counts(counts)
        torch.save({"state_dict": model.state_dict(), "meta": {"epoch": epoch}}, folder / f"epoch_{epoch}.pth")
        (folder / "last_checkpoint").write_text(str(folder / f"epoch_{epoch}.pth"))
    return work_dir


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of another size than the digits, in a file whose name must be escaped."""
    path = tmp_path_factory.mktemp("photos") / "a <b> & photo.png"
    image = np.zeros((90, 120, 3), np.uint8)
    image[20:70, 50:60] = (0, 128, 255)  # BGR
    assert cv2.imwrite(str(path), image)
    return path


def _show(config: Path, checkpoint: Path, *arguments: str | Path, logs: Path) -> ToolProcess:
    done = run_tool(TOOL, config, checkpoint, *arguments, *_small(config), logs=logs)
    assert done.exit_code == 0, done.output
    return done


def _assert_own_colours(path: Path) -> None:
    """The photograph is shown in its own colours: orange, not blue."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert (np.abs(pixels - (255, 128, 0)).max(axis=2) < 12).sum() > 500
    assert not (np.abs(pixels - (0, 128, 255)).max(axis=2) < 12).any()


def test_attributes_of_a_work_dir(lpa: Path, tmp_path: Path) -> None:
    done = _show(LPA, lpa, "--max-images", "30", "--checkpoints", "2", logs=tmp_path)
    contrast = lpa / "contrast_epoch_2"
    assert f"wrote {contrast / 'index.html'} and beside it trend.png, angles.png, nearest.png" in done.output
    assert "features and views of epoch_1.pth" in done.output
    assert len(read(contrast / "index.html").links) == 3
    out = lpa / "attributes_epoch_2"
    assert f"wrote {out / 'index.html'} and beside it class_" in done.output
    reader = read(out / "index.html")
    pictures = {path.name for path in out.glob("*.png")}
    assert pictures == {"class_9_9.png", "class_8_8.png", "class_7_7.png", "attributes.png", "all_classes_1.png"}
    assert len(reader.links) == len(pictures)
    assert "Pseudo-attributes: lpa/lpa_r32_digits" in reader.text
    assert "epoch_2.pth, after epoch 2" in reader.text
    assert "12 attributes" in reader.text and "Searched: the 78 images of the train set" in reader.text
    assert "Attributes of each class" in reader.text
    # One row a class and one for the header, five attributes each with their scores.
    assert reader.tags.count("tr") == 11
    assert len(re.findall(r"\d+ \([+-]\d+ %\)", reader.text)) == 10 * 5
    for name in pictures:
        assert min(Image.open(out / name).size) > 200


def test_attributes_of_images_and_classes(lpa: Path, photo: Path, tmp_path: Path) -> None:
    digit = tmp_path / "digit.png"
    picture = build_plain_dataset(load_config(str(LPA)), "test")[3]["inputs"].numpy().transpose(1, 2, 0)
    assert cv2.imwrite(str(digit), picture)
    out = tmp_path / "new/page"
    _show(
        LPA,
        lpa / "epoch_2.pth",
        *("--images", photo, digit, "--classes", "9", "3", "--attributes", "11", "0", "--only", "attributes"),
        *("--split", "test", "--top", "2", "--max-per-class", "1", "-o", out, "--device", "cpu"),
        logs=tmp_path,
    )
    reader = read(out / "index.html")
    assert (
        f"Image {photo}" in reader.text and "Class 3" in reader.text and "the 500 images of the test set" in reader.text
    )
    names = ["image_1_a_b_photo", "image_2_digit", "class_9_9", "class_3_3", "attributes", "all_classes_1"]
    assert sorted(path.stem for path in out.glob("*.png")) == sorted(names)
    _assert_own_colours(out / "image_1_a_b_photo.png")


def test_latents_of_both_stages(lcreg: Path, photo: Path, tmp_path: Path) -> None:
    options = ["--classes", "9", "3", "--latents", "8", "0", "--split", "test", "--top", "2", "--device", "cpu"]
    calls: list[list[str | Path]] = [
        [LCREG, lcreg, "--stage", "1"],
        [LCREG, lcreg / "epoch_10.pth", "--images", photo, photo, *options, "--out", tmp_path / "new/page"],
        [LCREG_STAGE_1, lcreg / "stage1", "--out", tmp_path / "same"],
    ]
    started = [start_tool(TOOL, *call, *_small(Path(call[0])), logs=tmp_path / str(i)) for i, call in enumerate(calls)]
    for tool in started:
        assert tool.wait().exit_code == 0, tool.output

    out = lcreg / "stage1/latents_epoch_30"
    assert started[0].log.read_text().splitlines()[-1] == (
        f"wrote {out / 'index.html'} and beside it frequent_and_rare.png, latents.png, usage.png"
    )
    reader = read(out / "index.html")
    assert "epoch_30.pth, after epoch 30" in reader.text and len(reader.links) == 3
    assert "no class counts" not in reader.text
    for name in ("frequent_and_rare.png", "latents.png", "usage.png"):
        assert min(Image.open(out / name).size) > 300
        assert (tmp_path / "same" / name).read_bytes() == (out / name).read_bytes(), "another spelling of the stage"
    _check_usage(reader.text, reader.tables[0])

    reader = read(tmp_path / "new/page/index.html")
    assert "Images" in reader.text and f"Latent categories that rebuild {photo}, {photo}" in reader.text
    assert "the 500 images of the test set" in reader.text and len(reader.tables[0]) == 10
    names = ["images_1", "class_9_9", "class_3_3", "latents", "usage"]
    assert sorted(path.stem for path in (tmp_path / "new/page").glob("*.png")) == sorted(names)
    _assert_own_colours(tmp_path / "new/page/images_1.png")


def _check_usage(text: str, table: list[list[str]]) -> None:
    """The numbers of the page are those of the pass over the training set."""
    dataset = build_plain_dataset(load_config(str(LCREG_STAGE_1), OVERRIDES[LCREG_STAGE_1]), "train")
    measured = measure_latents(_lcreg_model(LCREG_STAGE_1), dataset, 1)
    summary = re.search(
        r"used: ([\d.]+) of 9; at a single location, ([\d.]+) on average .* between ([\d.]+) and ([\d.]+),", text
    )
    assert summary is not None
    expected = [float(effective_number(measured.usage)), measured.local_number, *measured.similarity_range]
    assert [float(number) for number in summary.groups()] == pytest.approx(expected, abs=0.006)

    header, *rows = table
    assert header == ["latent category", "usage (%)", "spread (%)", "classes that use it most"]
    usage, class_usage = 900 * measured.usage, 900 * measured.class_usage
    assert [int(row[0]) for row in rows] == usage.argsort(descending=True).tolist()
    for latent, percent, spread, users in rows:
        of_classes = class_usage[:, int(latent)]
        assert float(percent) == pytest.approx(float(usage[int(latent)]), abs=0.006)
        assert float(spread) == pytest.approx(float(of_classes.max() - of_classes.min()), abs=0.006)
        first = int(of_classes.argmax())
        assert users.startswith(f"{first} ({float(of_classes[first]):.2f}), ") and users.count("(") == 3


def test_subclasses_of_a_run(sbcl: Path, tmp_path: Path) -> None:
    options = ["--classes", "3", "0", "3", "--num-classes", "4", "--max-points", "30", "--seed", "7", "--device", "cpu"]
    calls: list[list[str | Path]] = [
        [sbcl.parent],  # of both stages the first is the one with subclasses
        [sbcl / "epoch_2.pth", *options, "-o", tmp_path / "a"],
        [sbcl, *options, "-o", tmp_path / "b/c"],
    ]
    started = [
        start_tool(TOOL, SBCL, *call, "--only", "subclasses", *_small(SBCL), logs=tmp_path / str(i))
        for i, call in enumerate(calls)
    ]
    for tool in started:
        assert tool.wait().exit_code == 0, tool.output
    out = sbcl / "subclasses_epoch_2"
    assert started[0].log.read_text().splitlines()[-1] == (
        f"wrote {out / 'index.html'} and beside it distances.png, sizes.png, class_0_0.png, head_classes.png"
    )
    reader = read(out / "index.html")
    assert len(reader.links) == 4 and "epoch_2.pth, after epoch 2" in reader.text
    state = load_checkpoint(sbcl / "epoch_2.pth")["state_dict"]
    subclass, tau2 = (state[f"head.loss_module.{name}"] for name in ("subclass", "tau2"))
    dataset = build_plain_dataset(load_config(str(SBCL), OVERRIDES[SBCL], stage=1), "train")
    labels = torch.from_numpy(get_labels(dataset))
    for label, row in enumerate(reader.tables[2][1:]):  # the digits' classes are sorted by size
        sizes = subclass[labels == label].unique(return_counts=True)[1]
        numbers = [int((labels == label).sum()), len(sizes), int(sizes.min()), int(sizes.max())]
        assert [row[0], *row[2:]] == [str(label), *map(str, numbers), f"{float(tau2[label]):.3f}"]

    names = sorted(["distances.png", "sizes.png", "class_3_3.png", "class_0_0.png", "head_classes.png"])
    assert sorted(path.name for path in (tmp_path / "a").glob("*.png")) == names
    for name in names:
        assert min(Image.open(tmp_path / "a" / name).size) > 300
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b/c" / name).read_bytes(), (
            "not repeated by the seed"
        )
    assert "The 4 largest classes, 30 of " in read(tmp_path / "a/index.html").text


SUBCLASSES = ("--only", "subclasses")
MISTAKES: dict[Path, dict[tuple[str | Path, ...], str]] = {
    LPA: {
        ("--classes", "nine"): "--classes 'nine' is no class of the dataset; there are 0, 1, 2, 3, 4, ...",
        ("--classes", "10"): "--classes 10 is out of range; the model has classes 0 to 9",
        ("--attributes", "12"): "--attributes 12 is out of range; the model has 0 to 11",
        ("--images", "/nowhere/a.png"): "image /nowhere/a.png does not exist",
        ("--images", str(LPA)): f"cannot read image {LPA}",
        ("--top", "0"): "--top 0 and --max-per-class 2 must be 1 or more",
        ("-o", str(LPA), "--only", "attributes"): f"folder {LPA} cannot be made (File exists)",
        (
            "--seed",
            "0",
            "--only",
            "attributes",
        ): "--seed does not apply to attributes; there are --images, --classes, --attributes, ",
        (
            "--only",
            "latents",
        ): "which learns no latents but attributes and contrast; use a config with LCRegHead (configs/lcreg) for",
        ("--only", "contrast", "--max-images", "0"): "--max-images 0 and --checkpoints 10 must be 1 or more",
        ("--only", "contrast", "--seed", "-1"): "--seed -1 must be from 0 to 4294967295",
        ("--only", "contrast", "-o", str(LPA)): f"folder {LPA} cannot be made (File exists)",
        ("--only", "contrast", "--top", "3"): "--top does not apply to contrast; there are --max-images, --checkpoints",
    },
    LCREG: {
        ("--classes", "nine"): "--classes 'nine' is no class of the dataset; there are 0, 1, 2, 3, 4, ...",
        ("--latents", "9"): "--latents 9 is out of range; the model has 0 to 8",
        ("--images", "/nowhere/a.png"): "image /nowhere/a.png does not exist",
        ("--top", "0"): "--top 0 and --max-per-class 2 must be 1 or more",
        ("-o", LCREG): f"folder {LCREG} cannot be made (File exists)",
        ("--attributes", "1", "--max-points", "9"): "--attributes, --max-points does not apply to latents",
        ("--stage", "3"): "stage 3 is asked for, but",
    },
    SBCL: {
        (*SUBCLASSES, "--classes", "nine"): "--classes 'nine' is no class of the dataset; there are 0, 1, 2, 3, 4, ...",
        (*SUBCLASSES, "--num-classes", "0"): "--num-classes 0 and --max-points 2000 must be 1 or more",
        (*SUBCLASSES, "--max-points", "-1"): "--num-classes 10 and --max-points -1 must be 1 or more",
        (*SUBCLASSES, "--seed", "-1"): "--seed -1 must be from 0 to 4294967295",
        (*SUBCLASSES, "-o", SBCL): f"folder {SBCL} cannot be made (File exists)",
        (*SUBCLASSES, "--split", "test"): "--split does not apply to subclasses; there are --classes, --num-classes, ",
        ("--stage", "2"): "which learns nothing that can be inspected; use a config with LPAHead (con",
    },
}


@pytest.mark.parametrize("config", MISTAKES, ids=lambda config: config.parent.name)
def test_queries_that_cannot_be_answered(config: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = request.getfixturevalue(config.parent.name)
    checkpoint = run.parent if config == SBCL else run
    expect_errors(
        TOOL,
        {(config, checkpoint, *query, *_small(config)): message for query, message in MISTAKES[config].items()},
        tmp_path,
    )


def test_checkpoints_that_cannot_be_shown(lpa: Path, lcreg: Path, sbcl: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    good = torch.load(lpa / "epoch_2.pth", weights_only=False)
    torch.save({**good, "meta": {"payload": Touch(touched)}}, tmp_path / "malicious.pth")
    cut = (lpa / "epoch_2.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone/last_checkpoint").write_text("/nowhere/epoch_7.pth")
    (tmp_path / "empty").mkdir()
    bare = {key: value for key, value in good["state_dict"].items() if key != "head.prototypes"}
    torch.save({"state_dict": bare}, tmp_path / "bare.pth")
    no_attributes = "(epoch 1) has no pseudo-attributes yet: ReclusterHook first clusters before epoch 6"
    messages: dict[tuple[str | Path, ...], str] = {
        (LPA, lpa / "epoch_1.pth", "--only", "attributes"): no_attributes,
        (LPA, tmp_path / "malicious.pth"): "allow that with --allow-pickle",
        (LPA, tmp_path / "cut.pth"): "is cut off",
        (LPA, tmp_path / "bare.pth"): "is a checkpoint of another model",
        (LPA, tmp_path / "gone"): "names /nowhere/epoch_7.pth, which is gone",
        (LPA, tmp_path / "empty"): "has no checkpoint yet",
        (LPA, tmp_path / "missing.pth"): "missing.pth does not exist",
        (LCREG_STAGE_1, lcreg / "epoch_10.pth"): "is a checkpoint of another model",
        (
            SBCL,
            sbcl / "epoch_1.pth",
            *SUBCLASSES,
        ): "(epoch 1) has no subclasses yet: ReclusterHook first clusters before",
    }
    other_data = "train_dataloader.dataset.max_count=59"
    expect_errors(
        TOOL,
        {
            **{(*call, *_small(Path(call[0]))): message for call, message in messages.items()},
            (SBCL, sbcl, *SUBCLASSES, *_small(SBCL), other_data): "there are subclasses for 184 images, but",
        },
        tmp_path / "logs",
    )
    assert not touched.exists()


def test_pages_that_need_no_clustering_are_written_before_one(sbcl: Path, tmp_path: Path) -> None:
    done = run_tool(TOOL, SBCL, sbcl / "epoch_1.pth", "-o", tmp_path / "out", *_small(SBCL), logs=tmp_path / "logs")
    assert done.exit_code == 0, done.output
    assert "subclasses: left out, " in done.output
    assert "has no subclasses yet: ReclusterHook first clusters before epoch" in done.output
    assert [page.name for page in (tmp_path / "out").iterdir()] == ["contrast"]


def test_configs_that_cannot_be_shown(lpa: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder.py"
    folder.write_text(
        f"_base_ = {str(LPA)!r}\n"
        "train_dataloader = dict(dataset=dict(dataset=dict(_delete_=True, type='ImageListDataset', "
        "data_root='/nowhere', data_prefix='train')))\n"
        "model = dict(backbone=dict(depth=20), head=dict(num_attributes=12))\n"
    )
    lpa_or = "LPAHead (configs/lpa) or AttributePositives for attributes, "
    nothing = f"which learns nothing that can be inspected; use a config with {lpa_or}"
    expect_errors(
        TOOL,
        {
            (
                CE,
                lpa,
            ): f"model.head is LinearHead with the loss CrossEntropyLoss, {nothing}a projector "
            "(configs/scl, configs/paco, ...) for contrast, GLTMetric in test_evaluator (configs/*/*-glt.py) for glt, "
            "LCRegHead (configs/lcreg) for latents, "
            "SBCLLoss (configs/sbcl) for subclasses, M2mClassifier (configs/m2m) for translations.",
            (
                ROOT / "configs/paco/paco_r32_digits.py",
                lpa,
            ): "epoch_2.pth is a checkpoint of another model",
            (folder, lpa): "error: folder /nowhere/train not found; set data_root to the folder that holds train/",
        },
        tmp_path / "logs",
    )


def test_help_names_the_options_of_all_pages(tmp_path: Path) -> None:
    done = run_tool(TOOL, "--help", logs=tmp_path)
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    for page in page_types():
        for option, default in page.defaults.items():
            flag = f"--{option.replace('_', '-')} "
            described = text[text.index(flag, text.index("what a page shows:")) :].split(" --")[0]
            assert default == () or f"(default: {default})" in described, (page.name, option)
