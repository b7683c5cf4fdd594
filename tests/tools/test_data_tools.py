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

import pytest

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
