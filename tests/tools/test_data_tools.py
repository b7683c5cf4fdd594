"""check_data.py and make_lists.py, run as a user runs them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lt_plugins.datasets.image_list_dataset import ImageListDataset
from lt_plugins.datasets.split_dataset import SplitDataset
from tests.miniatures import make_miniature, write_image
from tests.tool_process import run_tool

ROOT = Path(__file__).resolve().parents[2]


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def inat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "inat"
    make_miniature("data/inat", folder)
    return folder


def test_inat_lists(inat: Path, tmp_path: Path) -> None:
    done = _run("make_lists", str(inat / "train2018.json"), str(tmp_path / "new/list.txt"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new/list.txt").read_text() == (inat / "iNaturalist18_train.txt").read_text()
    assert "24 images of 8142 categories" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0].update(category_id=8142), "category 8142 of image 23 is not in 0..8141"),
        (lambda c: c["annotations"][0].update(category_id="7"), "category '7' of image 23 is not in 0..8141"),
        (lambda c: c["annotations"].pop(), "image 0 (train_val2018/Plantae/0/"),
        (lambda c: c["annotations"].append({"image_id": 1, "category_id": 5}), "image 1 is annotated as 0 and as 5"),
        (lambda c: c.pop("categories"), "lacks the key 'categories'"),
        (lambda c: c["images"][3].pop("file_name"), "lacks the key 'file_name'"),
        (lambda c: c.update(images=None), "not in the annotation format of COCO"),
        (lambda c: c.update(annotations={"a": 1}), "not in the annotation format of COCO"),
        (lambda c: c["annotations"][0].update(category_id=True), "category True of image 23"),
        (lambda c: c["images"][3].update(file_name="a\nb"), r"file_name 'a\nb', no path"),
        (lambda c: c["images"].clear(), "lists no images"),
    ],
)
def test_inat_lists_refuse(
    inat: Path, tmp_path: Path, change: Callable, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((inat / "train2018.json").read_text())
    change(content)
    (tmp_path / "x.json").write_text(json.dumps(content), encoding="utf-8-sig")  # as a Windows editor saves it
    with pytest.raises(SystemExit) as stop:
        _load("make_lists").main([str(tmp_path / "x.json"), str(tmp_path / "list.txt")])
    assert stop.value.code == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "list.txt").exists()


def test_inat_lists_refuse_a_cut_off_file(inat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text((inat / "train2018.json").read_text()[:-100])
    with pytest.raises(SystemExit):
        _load("make_lists").main([str(tmp_path / "x.json"), str(tmp_path / "list.txt")])
    assert "is not a complete JSON file" in capsys.readouterr().err


CONFIG = "configs/_base_/datasets/tiny-imagenet-lt.py"


def _options(root: Path) -> list[str]:
    return ["--cfg-options", *(f"{s}_dataloader.dataset.data_root={root}" for s in ("train", "val", "test"))]


def _check(*arguments: str) -> int:
    """Exit code of tools/check_data.py, run in this process."""
    try:
        _load("check_data").main([str(ROOT / arguments[0]), *arguments[1:]])
    except SystemExit as stop:
        return 0 if stop.code is None else 1
    return 0


def test_check_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert _check("configs/_base_/datasets/digits.py") == 0
    shown = capsys.readouterr().out
    assert "everything is in order" in shown
    assert "342" in shown
    assert "1 / 4 / 5" in " ".join(shown.replace("│", " ").split())


def test_check_counts_groups_by_the_thresholds_of_the_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "thresholds.py"
    path.write_text(
        f"_base_ = {str(ROOT / 'configs/_base_/datasets/digits.py')!r}\n"
        "val_evaluator = [dict(type='ShotAccuracy', many_threshold=40, few_threshold=10)]\n"
        "test_evaluator = val_evaluator\n"
    )
    assert _check(str(path)) == 0
    assert "3 / 3 / 4" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert _check(str(path), "--shot-thresholds", "100", "8") == 0
    assert "1 / 6 / 3" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_check_of_own_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both parts of a split are checked, and nothing is in both; a copy of an image is found across them."""
    for label, size in enumerate((12, 5, 1)):
        for number in range(size):
            write_image(tmp_path / f"animals/class{label}/{number}.png", 20 * label + number)
    config, data = "configs/lpa/lpa_x50_imagenet-lt.py", ["--data", str(tmp_path / "animals")]
    assert _check(config, *data) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "train 15 3 of 3 10 1 10 0 / 0 / 3" in shown and "val 3 2 of 3 2 1" in shown, shown
    train = SplitDataset(ImageListDataset(data_root=str(tmp_path / "animals")), "train")
    val = SplitDataset(train.dataset, "val")
    shutil.copy(val.get_data_info(0)["img_path"], train.get_data_info(0)["img_path"])
    assert _check(config, *data) == 0, "copies stay on one side"
    capsys.readouterr()
    assert _check(config, *data, "--cfg-options", "split.copies_together=False") == 1
    assert "train and val share an image: " in capsys.readouterr().out


def test_check_lists_what_is_wrong(tmp_path: Path) -> None:
    root = tmp_path / "tiny-imagenet"
    make_miniature("data/tiny-imagenet", root)
    train = sorted((root / "train").glob("*/*.JPEG"))
    train[3].write_bytes(train[3].read_bytes()[:-200])
    train[4].write_bytes(b"")
    copied = next((root / "val").glob("*/*.JPEG"))
    copied.write_bytes(train[0].read_bytes())
    done = run_tool(
        "check_data.py", CONFIG, "--workers", "2", "--max-shown", "5", *_options(root), logs=tmp_path / "logs"
    )
    assert done.exit_code == 1, done.output
    shown = done.log.read_text()
    assert "24" in shown
    assert f"train: {train[3]}: OSError: " in shown
    assert f"train: {train[4]}: is empty" in shown
    assert f"train and val share an image: {train[0]} and {copied}" in shown
    assert "train: class 1 has no images" in shown
    assert "... and 172 more of this kind" in shown
    assert done.error_lines == ["error: 180 problems"]
    assert "Traceback" not in done.output


def test_check_names_what_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "tiny-imagenet"
    make_miniature("data/tiny-imagenet", root)
    folder = next((root / "train").iterdir())
    (folder / "a.png").symlink_to("nowhere")
    (folder / "b.png").mkdir()
    os.mkfifo(folder / "c.png")
    write_image(folder / "big.png", seed=0, size=(3000, 300))
    (folder / "caf\udce9.png").write_bytes(b"x")
    (root / "val/n99999999").mkdir()
    assert _check(CONFIG, *_options(root), "train_dataloader.dataset.pipeline.0.max_pixels=800000") == 1
    out = capsys.readouterr().out
    for line in (
        f"train: {folder}/a.png: is a link to nowhere, which does not exist",
        f"train: {folder}/b.png: is a folder, not a regular file",
        f"train: {folder}/c.png: is a pipe, not a regular file",
        f"train: {folder}/big.png: has 3000 x 300 pixels, more than max_pixels=800000 allows",
        rf"train: {folder}/caf\udce9.png: is in no known image format",
        f"val: folder {root}/val/n99999999 is not one of the 200 classes",
        "train: class 1 has no images",
    ):
        assert line in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["configs/nothing.py"], "nothing.py does not exist"),
        (["my_phtos"], "my_phtos does not exist: give a folder, list or CSV of images, or a config"),
        ([CONFIG, "--split", "train,dev"], "--split 'dev' is not one of train, val, test"),
        (["configs/_base_/default_runtime.py"], "the config has no train_dataloader.dataset"),
        ([CONFIG, *_options(Path("/nowhere"))], "folder /nowhere/train not found; set data_root"),
    ],
)
def test_check_refuses(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(*arguments) == 1
    assert message in capsys.readouterr().err


def test_check_refuses_labels_beyond_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_miniature("data/tiny-imagenet", tmp_path / "tiny")
    options = [*_options(tmp_path / "tiny"), "data_preprocessor.num_classes=100"]
    assert _check(CONFIG, *options) == 1
    assert "labels run from 0 to 199, expected 0 to 99" in capsys.readouterr().err


# ------------------------------------------------------------------------------------ images of one's own, no config


def save_photo(path: Path, seed: int, size: tuple[int, int] = (90, 60), **options: Any) -> Image.Image:
    """A smooth image, as photographs are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    image.save(path, **options)
    return image


@pytest.fixture(scope="module")
def caltech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """102 folders without a split, one of them of background, with all that may lie in them."""
    root = tmp_path_factory.mktemp("data") / "caltech like"
    names = ["BACKGROUND_Google", *(f"object_{k:03d}" for k in range(99)), "Дом", "日本の家"]
    seed = 0
    for label, name in enumerate(names):
        for number in range(max(1, int(40 * 0.96**label))):
            save_photo(root / name / f"image_{number:04d}.jpg", seed)
            seed += 1
    folder = root / "object_003"
    image = save_photo(folder / "rgb.png", seed)
    image.rotate(90).convert("CMYK").save(folder / "cmyk.jpg")
    image.rotate(180).convert("RGBA").save(folder / "rgba.png")
    Image.fromarray(np.asarray(image.rotate(33).convert("L")).astype(np.uint16) * 16).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    save_photo(folder / "turned.jpg", seed + 1, exif=exif)
    save_photo(folder / "huge.jpg", seed + 2, size=(5600, 3600))
    shutil.copy(folder / "image_0001.jpg", folder / "copy.jpg")
    Image.open(folder / "image_0002.jpg").resize((70, 50)).save(folder / "small.webp")
    (folder / "phone.heic").write_bytes(b"x")
    (root / "stray.jpg").write_bytes(b"x")
    return root


def check_images(*arguments: str | Path) -> int:
    """Exit code of tools/check_data.py on images, run in this process."""
    try:
        _load("check_data").main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return 0 if stop.code is None else 1
    return 0


def test_check_of_a_folder_without_config(caltech: Path, tmp_path: Path) -> None:
    page = tmp_path / "sizes.html"
    done = run_tool("check_data.py", caltech, "--out", page, logs=tmp_path)
    assert done.exit_code == 0, done.output
    shown = done.output
    for line in (
        "2 files left out: 1 .heic (object_003/phone.heic), 1 .jpg (stray.jpg)",
        "no validation part is given, so 20 % of each class is split off (seed 0)",
        "4 images in 2 groups of copies or the like stay together",
        "BACKGROUND_Google  32  ████████████████████████████",
        "日本の家",
        "62 more classes",
        "these split better: --shot-thresholds 10 2",
        "have a single image, kept for training and not measurable",
        "are measured by fewer than 5 images",
        "* class BACKGROUND_Google (40 images) looks like what is none of the others",
        "90 x 60",
        "1 with 16 bits a channel (scaled to 8 by the bits that each uses), 1 with an alpha channel",
        "1 CMYK (converted), 1 turned upright by their EXIF orientation, 1 of more than 20 megapixels",
        "1 pair of equal files in one class; a split keeps them on one side",
        "object_003/copy.jpg and object_003/image_0001.jpg are equal files",
        "object_003/image_0002.jpg and object_003/small.webp look alike",
        f"python tools/train.py configs/finetune/lite0.py --data '{caltech}'",
        "everything is in order",
    ):
        assert line in shown, line
    html = page.read_text()
    assert "BACKGROUND_Google" in html and "日本の家" in html and "data:image/png" in html


def test_check_of_a_folder_lists_what_is_wrong(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for number in range(4):
        for split, name in (("train", "ant"), ("train", "bee"), ("val", "ant"), ("val", "bee")):
            save_photo(root / split / name / f"{number}.jpg", len(list(root.rglob("*.jpg"))))
    (root / "train/cat").mkdir()
    (root / "extra").mkdir()
    save_photo(root / "loose.jpg", 99)
    shutil.copy(root / "train/ant/0.jpg", root / "val/ant/shared.jpg")
    shutil.copy(root / "train/ant/1.jpg", root / "train/bee/same.jpg")
    Image.open(root / "train/ant/2.jpg").save(root / "val/ant/alike.png")
    bad = root / "train/ant/3.jpg"
    bad.write_bytes(bad.read_bytes()[:-300])
    picture = tmp_path / "sizes.png"
    options = ("--shot-thresholds", "3", "1", "--out", str(picture))
    # In a process of its own: the logger of another test may be of a level that hides warnings.
    done = run_tool("check_data.py", root, *options, logs=tmp_path / "logs")
    assert done.exit_code == 1
    shown = done.log.read_text()
    for line in (
        "1 folder beside train/, val/ left out: extra",
        "1 image beside train/, val/ left out: loose.jpg",
        "1 file that cannot be read, listed below: mend or remove, or train with --skip-bad",
        "train/ant/3.jpg: OSError: image file is truncated",
        "train and val share an image: train/ant/0.jpg and val/ant/shared.jpg",
        "train/ant/1.jpg (ant) and train/bee/same.jpg (bee) are the same image",
        "train and val look alike in: train/ant/2.jpg and val/ant/alike.png",
        "class cat has no training image",
    ):
        assert line in done.output, line
    assert done.error_lines == ["error: 4 problems"]
    assert "split better" not in shown, "the thresholds are given"
    assert Image.open(picture).size[0] > 500


def test_check_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{number}.png,{'ant' if number < 8 else 'bee'},{'train' if number % 4 else 'val'}" for number in range(12)]
    for number in range(12):
        save_photo(tmp_path / f"{number}.png", number)
    (tmp_path / "table.csv").write_text("path,label,split\n" + "\n".join(rows))
    assert check_images(tmp_path / "table.csv") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "train 9 2 of 2 6 3 2" in shown and "val 3 2 of 2 2 1 2" in shown, shown
    assert "12 PNG, all of 90 x 60 pixels" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "x"], "--data is for a config, and"),
        (["--cfg-options", "a=1"], "--cfg-options is for a config, and"),
        (["--out", "x.pdf"], "--out x.pdf must end in .png (a picture) or .html (a page)"),
        (["--shot-thresholds", "5", "9"], "few_threshold=9 and many_threshold=5 must satisfy"),
    ],
)
def test_check_of_images_refuses(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photo(tmp_path / "photos/ant/0.png", 0)
    save_photo(tmp_path / "photos/bee/0.png", 1)
    assert check_images(tmp_path / "photos", *arguments) == 1
    assert message in capsys.readouterr().err
    assert check_images(tmp_path / "photos") == 0, "classes of one image can be checked"
