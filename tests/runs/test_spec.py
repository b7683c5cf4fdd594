"""One name a run: CONFIG.py:VARIANT on the command line, its folder, its row and its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.spec import ConfigSpec, parse_spec, run_name, stage_folder, stage_source
from tests.tool_process import ROOT


@pytest.mark.parametrize(
    ("spec", "path", "variants"),
    [
        ("a/b.py", "a/b.py", ()),
        ("a/b.py:lt50", "a/b.py", ("lt50",)),
        ("a:b/c.py:lt50,no-warmup", "a:b/c.py", ("lt50", "no-warmup")),
        ("a/b.py:stage1,lt10", "a/b.py", ("stage1", "lt10")),
        ("a/b:lt50", "a/b", ("lt50",)),
        ("a/b", "a/b", ()),
        ("a:b/c", "a:b/c", ()),
        ("lt_plugins::a/b", "lt_plugins::a/b", ()),
        ("lt_plugins::a/b:lt50,lt10", "lt_plugins::a/b", ("lt50", "lt10")),
    ],
)
def test_spelling(spec: str, path: str, variants: tuple[str, ...]) -> None:
    assert parse_spec(spec) == ConfigSpec(path, variants)
    assert str(parse_spec(spec)) == spec


@pytest.mark.parametrize(
    "spec", ["a.py:", "a.py:lt50,", "a.py:,lt50", "a.py:a b", "a.py:../x", "a.py:a+b", "a.py:short20", "a:", "a:b c"]
)
def test_names_that_no_variant_has(spec: str) -> None:
    with pytest.raises(UserInputError, match=r"asks for the variant .*CONFIG.py:VARIANT"):
        parse_spec(spec)


def test_a_variant_twice() -> None:
    with pytest.raises(UserInputError, match="names the variant lt50 twice"):
        parse_spec("a.py:lt50,x,lt50")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("configs/lpa/paco_r50_inat.py",), "lpa/paco_r50_inat"),
        (("configs/paco/paco_r50_inat.py",), "paco/paco_r50_inat"),
        (("/home/me/configs/old/configs/a/b/c.py",), "a/b/c"),
        (("configs/c.py",), "c"),
        (("elsewhere/c.py",), "c"),
        (("work_dirs/configs.py",), "configs"),
        (("configs/sbcl/s_r32.py:lt50",), "sbcl/s_r32+lt50"),
        (("configs/sbcl/s_r32.py:lt50,kmeans",), "sbcl/s_r32+lt50+kmeans"),
        (("configs/sbcl/s_r32.py:lt50", "data/my birds/"), "sbcl/s_r32+lt50@my_birds"),
        (("configs/sbcl/s_r32.py", "lists/birds.csv", 20), "sbcl/s_r32@birds+short20"),
        (("configs/sbcl/s_r32.py:stage1", None, 3), "sbcl/s_r32+stage1+short3"),
    ],
)
def test_run_names(arguments: tuple, name: str) -> None:
    assert run_name(*arguments) == name


def test_run_names_follow_the_typed_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs/mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "configs/mine")
    assert run_name("c.py:x") == "mine/c+x"
    assert run_name("../mine/c.py") == "mine/c"


@pytest.mark.parametrize("stem", ["a+b", "a@b"])
def test_names_that_would_collide(stem: str) -> None:
    with pytest.raises(UserInputError, match="rename the file"):
        run_name(f"configs/{stem}.py")


def test_the_folder_of_a_stage(tmp_path: Path) -> None:
    assert [stage_folder(tmp_path, number, 2) for number in (1, 2)] == [tmp_path / "stage1", tmp_path]
    (tmp_path / "stage1").mkdir()
    (tmp_path / "epoch_1.pth").touch()
    assert stage_source(str(tmp_path), 1) == str(tmp_path / "stage1")
    assert stage_source(str(tmp_path), 2) == stage_source(str(tmp_path), None) == str(tmp_path)
    assert stage_source(str(tmp_path / "epoch_1.pth"), 1) == str(tmp_path / "epoch_1.pth")


READY = "configs/lpa/paco_r50_inat.py"
NAME = "lpa/paco_r50_inat"
SPELLINGS = (NAME, f"{NAME}.py", READY, f"configs/{NAME}", f"lt_plugins::{NAME}")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_ready_config_by_its_name(spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, file in ((ROOT, READY), (tmp_path, str(ROOT / READY))):
        monkeypatch.chdir(folder)
        spec = parse_spec(f"{spelling}:stage1")
        assert spec.file == file
        assert str(spec.portable) == f"{READY}:stage1"
        assert run_name(str(spec)) == "lpa/paco_r50_inat+stage1"


def test_an_own_file_goes_before_a_ready_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / READY
    own.parent.mkdir(parents=True)
    own.touch()
    assert parse_spec(READY).file == READY
    assert parse_spec(READY).portable == parse_spec(READY)
    assert parse_spec("lt_plugins::lpa/paco_r50_inat").file == str(ROOT / READY)


@pytest.mark.parametrize("name", ["lpa/none", f"../configs/{NAME}", f"/{NAME}", "a\0b", "", "x" * 9999])
def test_what_is_no_ready_config_stays_as_typed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_spec(name).file == name
    assert parse_spec(name).portable.path == name
