from __future__ import annotations

from pathlib import Path

import pytest

from lt_plugins.datasets.image_list_dataset import ImageListDataset
from lt_plugins.errors import UserInputError


def _build(folder: Path, text: str, **kwargs: object) -> ImageListDataset:
    (folder / "list.txt").write_text(text)
    return ImageListDataset(**{"ann_file": "list.txt", "data_root": str(folder), "num_classes": 5, **kwargs})  # type: ignore[arg-type]


def test_reads_paths_and_labels(tmp_path: Path) -> None:
    dataset = _build(tmp_path, "train/a/1.jpg 0\ntrain/b/with blank.jpg 4\n\n  val/c.png   2  \n")
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info["img_path"] for info in infos] == [
        f"{tmp_path}/{name}" for name in ("train/a/1.jpg", "train/b/with blank.jpg", "val/c.png")
    ]
    assert dataset.get_gt_labels().tolist() == [0, 4, 2]


def test_rewrites_paths(tmp_path: Path) -> None:
    rules = {r"^train/(.)": r"data_256/\1/\1", r"^val/.*/": "val_256/"}
    dataset = _build(
        tmp_path, "train/airfield/1.jpg 0\nval/airfield/P_1.jpg 1\nother/train/x.jpg 1", path_replace=rules
    )
    names = [Path(dataset.get_data_info(i)["img_path"]).relative_to(tmp_path).as_posix() for i in range(3)]
    assert names == ["data_256/a/airfield/1.jpg", "val_256/P_1.jpg", "other/train/x.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 0\nb.jpg\n", r"list.txt, line 2: 'b.jpg' is not 'relative/path label'"),
        ("a.jpg 0\n\nb.jpg cat\n", r"line 3: 'b.jpg cat' is not"),
        ("a.jpg -1", r"line 1: 'a.jpg -1' is not"),
        ("a.jpg 1.5", r"line 1"),
        ("a.jpg 0\nb.jpg 5", r"line 2: label 5 of .b.jpg. is not in 0..4; set num_classes"),
        ("\n", r"list.txt is empty"),
        (" \r\n\t\r\n", r"list.txt is empty"),
        (f"a.jpg {'9' * 5000}", r"line 1: the label of 'a.jpg' has 5,000 digits, expected 0..4"),
        ("a.jpg \u0663", r"line 1"),
        (f"{'x' * 9000} 1.5", r"line 1: 'x{60}\.\.\.' is not"),
        ("\x1b[31ma.jpg 7", r"line 1: label 7 of '\\x1b\[31ma.jpg' is not in 0..4"),
        ("a.jpg 0\n../../../../dev/zero 1", r"line 2: '../../../../dev/zero' leaves the data root"),
        ("a/../../x.jpg 0", r"line 1: .* leaves the data root"),
        ("/dev/zero 0", r"line 1: '/dev/zero' leaves the data root .*absolute ones with empty data_root"),
        ("http://host/x.jpg 0", r"line 1: .* leaves the data root"),
    ],
)
def test_names_the_bad_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        _build(tmp_path, text)


def test_missing_list(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"nowhere.txt not found; docs/data.md"):
        ImageListDataset(ann_file="nowhere.txt", data_root=str(tmp_path), num_classes=5)


def test_names_must_fit(tmp_path: Path) -> None:
    assert _build(tmp_path, "a.jpg 1", classes=list("abcde")).metainfo["classes"] == tuple("abcde")
    with pytest.raises(UserInputError, match="names 2 classes, expected num_classes=5"):
        _build(tmp_path, "a.jpg 1", classes=["cat", "dog"])


def test_windows_editors(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg 0\r\nb.jpg 1\r\n")
    dataset = ImageListDataset(ann_file="list.txt", data_root=str(tmp_path), num_classes=2)
    assert dataset.get_data_info(0)["img_path"] == f"{tmp_path}/a.jpg"
    assert dataset.get_gt_labels().tolist() == [0, 1]


def test_paths_below_the_root(tmp_path: Path) -> None:
    dataset = _build(tmp_path, f"a/../b.jpg 0\n..a/b..c.jpg 1\n{tmp_path}/x.jpg 2\n")
    names = [Path(dataset.get_data_info(i)["img_path"]).relative_to(tmp_path).as_posix() for i in range(3)]
    assert names == ["a/../b.jpg", "..a/b..c.jpg", "x.jpg"]


def test_a_linked_root_may_lead_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk/images").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/data").symlink_to("../disk")
    (tmp_path / "disk/list.txt").write_text("images/a.jpg 0")
    monkeypatch.chdir(tmp_path / "work")
    assert len(ImageListDataset(ann_file="list.txt", data_root="data", num_classes=1)) == 1


def test_absolute_paths_need_an_empty_root(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("/big/a.jpg 0\n../b.jpg 0")
    dataset = ImageListDataset(ann_file=str(tmp_path / "list.txt"), num_classes=1)
    assert [dataset.get_data_info(i)["img_path"] for i in range(2)] == ["/big/a.jpg", "../b.jpg"]


@pytest.mark.parametrize("rules", [{"(": "x"}, {"a": r"\3"}])
def test_rules_are_checked(tmp_path: Path, rules: dict[str, str]) -> None:
    with pytest.raises(UserInputError, match=r"path_replace .* is no regular expression"):
        _build(tmp_path, "b.jpg 0", path_replace=rules)


def test_rules_must_not_lead_out(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"line 1: '../b.jpg' leaves the data root"):
        _build(tmp_path, "a.jpg 0", path_replace={"a": "../b"})


@pytest.mark.parametrize("num_classes", [0, -1, "5", 5.0, None, True])
def test_number_of_classes(tmp_path: Path, num_classes: object) -> None:
    with pytest.raises(UserInputError, match=r"num_classes=.* of ImageListDataset must be a positive integer"):
        _build(tmp_path, "a.jpg 0", num_classes=num_classes)


@pytest.mark.parametrize("given", [{"num_classes": 5}, {"path_replace": {"a": "b"}}, {"split": "val"}])
def test_arguments_of_lists_need_a_list(tmp_path: Path, given: dict) -> None:
    name = next(iter(given))
    with pytest.raises(UserInputError, match=rf"{name}=.* is for a list, not for class folders; .* give ann_file"):
        ImageListDataset(data_root=str(tmp_path), **given)


@pytest.mark.parametrize("given", [{"extensions": [".gif"]}, {"class_folder": "train"}])
def test_arguments_of_class_folders_go_without_a_list(tmp_path: Path, given: dict) -> None:
    name = next(iter(given))
    with pytest.raises(UserInputError, match=rf"{name}=.* is for class folders, not for a list; remove it"):
        _build(tmp_path, "a.jpg 0", **given)
