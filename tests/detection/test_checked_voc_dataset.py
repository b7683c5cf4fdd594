"""Annotations that cannot be learned from stop training before it begins, by one clear line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope

from lt_plugins.detection import CheckedVOCDataset, find_voc_problem
from lt_plugins.errors import UserInputError
from tests.detection.voc import OBJECTS, make_voc, write_annotation

Objects = list[tuple[str, tuple[int, int, int, int], int]]


def build(devkit: Path, **kwargs) -> CheckedVOCDataset:
    init_default_scope("mmdet")
    return DATASETS.build(
        {
            "type": "CheckedVOCDataset",
            "data_root": f"{devkit}/",
            "ann_file": "VOC2007/ImageSets/Main/trainval.txt",
            "data_prefix": {"sub_data_root": "VOC2007/"},
            "pipeline": [],
            **kwargs,
        }
    )


def test_reads_what_voc_dataset_reads(devkit: Path) -> None:
    dataset = build(devkit)
    original = build(devkit, type="VOCDataset")
    assert len(dataset) == len(OBJECTS)
    assert [dataset.get_data_info(i) for i in range(3)] == [original.get_data_info(i) for i in range(3)]
    assert dataset.metainfo == original.metainfo


@pytest.mark.parametrize(
    ("kwargs", "flags"),
    [({}, [0, 1]), ({"keep_difficult": True}, [0, 0]), ({"keep_difficult": True, "test_mode": True}, [0, 1])],
    ids=["mmdet's", "detectron2's", "evaluation"],
)
def test_difficult_objects(kwargs: dict, flags: list[int], devkit: Path) -> None:
    instances = build(devkit, **kwargs).get_data_info(0)["instances"]
    assert [instance["ignore_flag"] for instance in instances] == flags


def remove_image(folder: Path) -> None:
    (folder / "JPEGImages" / "2007_000001.jpg").unlink()


def empty_image(folder: Path) -> None:
    (folder / "JPEGImages" / "2007_000001.jpg").write_bytes(b"")


def remove_annotation(folder: Path) -> None:
    (folder / "Annotations" / "2007_000001.xml").unlink()


def cut_annotation(folder: Path) -> None:
    path = folder / "Annotations" / "2007_000001.xml"
    path.write_text(path.read_text()[:-40])


def remove_list(folder: Path) -> None:
    (folder / "ImageSets" / "Main" / "trainval.txt").unlink()


def empty_list(folder: Path) -> None:
    (folder / "ImageSets" / "Main" / "trainval.txt").write_text("\n")


def objects(changed: Objects) -> Callable[[Path], None]:
    return lambda folder: write_annotation(folder / "Annotations" / "2007_000001.xml", changed)


def remove_corner(folder: Path) -> None:
    path = folder / "Annotations" / "2007_000001.xml"
    path.write_text(path.read_text().replace("<xmax>96</xmax>", ""))


def replace_text(old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "Annotations" / "2007_000001.xml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return damage


def list_bytes(content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "ImageSets" / "Main" / "trainval.txt").write_bytes(content)

    return damage


def image_as_pipe(folder: Path) -> None:
    remove_image(folder)
    os.mkfifo(folder / "JPEGImages" / "2007_000001.jpg")


def annotation_as_folder(folder: Path) -> None:
    remove_annotation(folder)
    (folder / "Annotations" / "2007_000001.xml").mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_image, r"image .*2007_000001\.jpg of .*2007_000001\.xml is missing"),
        (empty_image, r"image .*2007_000001\.jpg of .*2007_000001\.xml is empty"),
        (remove_annotation, r"annotation .*2007_000001\.xml is missing"),
        (cut_annotation, r"annotation .*2007_000001\.xml cannot be read"),
        (objects([("unicorn", (1, 1, 9, 9), 0)]), r"object 1 of .*2007_000001\.xml has the unknown class 'unicorn'"),
        (
            objects([("cat", (1, 1, 9, 9), 0), ("dog", (9, 1, 9, 9), 0)]),
            r"object 2 of .*\.xml \(dog\) has an empty box: x 9 to 9, y 1 to 9",
        ),
        (objects([("dog", (1, 9, 9, 3), 0)]), r"has an empty box: x 1 to 9, y 9 to 3"),
        (remove_corner, r"object 1 of .*\.xml \(person\) has no xmax"),
        (remove_list, r"trainval\.txt not found; unpack PASCAL VOC there"),
        (empty_list, r"trainval\.txt names no image"),
        *[
            (replace_text(f"<{side}>{value}</{side}>", f"<{side}>{text}</{side}>"), rf"has the size/{side} .*positive")
            for side, value in (("width", 96), ("height", 64))
            for text in ("", "wide", "0", "-5", "96.0", "9" * 5000)
        ],
        (replace_text("<height>64</height>", ""), r"has the size/height \(empty\)"),
        *[
            (replace_text("<difficult>0<", f"<difficult>{text}<"), r"\(person\) has difficult .*, expected 0 or 1")
            for text in ("", "yes", "1.0", "9" * 5000)
        ],
        *[
            (replace_text("<xmax>96<", f"<xmax>{text}<"), r"\(person\) has the xmax .*, expected a number")
            for text in ("", "right", "nan", "inf", "9" * 5000)
        ],
        (replace_text("<xmax>96<", "<xmax>98<"), r"has a box beyond its image of 96 x 64 pixels: x 1 to 98, y 1 to 64"),
        (replace_text("<ymin>1<", "<ymin>-3<"), r"has a box beyond its image of 96 x 64 pixels: x 1 to 96, y -3 to 64"),
        (replace_text("<name>person<", "<name><"), r"object 1 of .* has the unknown class ''"),
        (replace_text("<name>person<", f"<name>{'x' * 999}<"), r"has the unknown class 'x{60}\.\.\.'"),
        (replace_text("annotation>", "html>"), r"holds 'html', expected 'annotation'"),
        (replace_text("<annotation>", "<?xml version='1.0' encoding='klingon'?><annotation>"), r"\.xml cannot be read"),
        (image_as_pipe, r"2007_000001\.jpg of .* is a pipe, not a regular file"),
        (annotation_as_folder, r"2007_000001\.xml is missing or no regular file"),
        (list_bytes("2007_000001".encode("utf-16")), r"image list .*trainval\.txt is UTF-16"),
        (list_bytes(b"caf\xe9"), r"trainval\.txt, line 1: .* is not UTF-8"),
        (list_bytes(b"../../../etc/passwd"), r"trainval\.txt: '../../../etc/passwd' leaves the folder"),
        (list_bytes(b"x" * 9999), r"xxx is missing|xxx.xml is missing"),
    ],
)
def test_mistakes(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    devkit = make_voc(tmp_path)
    damage(devkit / "VOC2007")
    with pytest.raises(UserInputError, match=message) as caught:
        build(devkit)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_windows_editors(tmp_path: Path) -> None:
    devkit = make_voc(tmp_path)
    list_bytes(b"\xef\xbb\xbf2007_000000\r\n2007_000002 \r\n\r\n")(devkit / "VOC2007")
    annotation = devkit / "VOC2007/Annotations/2007_000000.xml"
    annotation.write_text(annotation.read_text(), encoding="utf-8-sig")
    dataset = build(devkit)
    assert [dataset.get_data_info(i)["img_id"] for i in range(len(dataset))] == ["2007_000000", "2007_000002"]


def test_boxes_may_be_counted_from_zero(tmp_path: Path) -> None:
    devkit = make_voc(tmp_path)
    objects([("person", (0, 0, 97, 65), 0)])(devkit / "VOC2007")
    assert len(build(devkit)) == 3


def test_images_of_too_many_pixels(devkit: Path) -> None:
    with pytest.raises(UserInputError, match=r"has 96 x 64 pixels, more than max_pixels=6143 allows; 3 of the 3"):
        build(devkit, max_pixels=6143)


def test_one_class_as_a_text(devkit: Path) -> None:
    with pytest.raises(UserInputError, match=r"metainfo classes='dog' is one text; give a list of names, \['dog'\]"):
        build(devkit, metainfo={"classes": "dog"})


def test_the_number_of_affected_images_is_given(tmp_path: Path) -> None:
    devkit = make_voc(tmp_path)
    shutil.rmtree(devkit / "VOC2007" / "JPEGImages")
    with pytest.raises(UserInputError, match=r"2007_000000\.jpg .* is missing; 3 of the 3 images of .* are unfit"):
        build(devkit)


def test_own_classes(tmp_path: Path) -> None:
    devkit = make_voc(tmp_path)
    annotation = devkit / "VOC2007" / "Annotations" / "2007_000001.xml"
    write_annotation(annotation, [("unicorn", (1, 1, 9, 9), 0)])
    dataset = build(devkit, metainfo={"classes": ("unicorn", "cat")})
    labels = [[one["bbox_label"] for one in dataset.get_data_info(i)["instances"]] for i in range(3)]
    assert labels == [[1], [0], []]
    image = devkit / "VOC2007" / "JPEGImages" / "2007_000001.jpg"
    assert find_voc_problem(image, annotation, ["unicorn"]) is None
