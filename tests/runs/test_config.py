"""Reading config files: nothing but Python is run, and whatever a config's code raises is one line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import MAX_FILES, load_config, read_config
from tests.tool_process import ROOT

CONFIG = str(ROOT / "configs/baselines/ce/ce_r32_digits.py")

# What is in the file -> what the line says.
BROKEN = {
    "a = ": "line 1: SyntaxError: invalid syntax",
    "a = 1\nb = c": "line 2: NameError: name 'c' is not defined",
    "a = dict()['b']": "line 1: KeyError: b",
    "a = 1 / 0": "line 1: ZeroDivisionError: division by zero",
    "a = int('x')": "line 1: ValueError: invalid literal",
    "a = open('/none')": "line 1: FileNotFoundError",
    "\n\nassert False, 'no'": "line 3: AssertionError: no",
    "raise RuntimeError('two\\nlines')": "line 1: RuntimeError: two lines",
    "a = 1\nexit()": "line 2: SystemExit: it ends the program; remove exit",
    "import sys; sys.exit(0)": "line 1: SystemExit",
    "def f():\n    return f()\na = f()": "RecursionError: a function in it calls itself without end",
    "a = []\na.append(a)": "RecursionError",
    "import none_such_module": "ModuleNotFoundError",
    "custom_imports = {'imports': ['none_such_module']}": "ImportError",
    "filename = 'x'": "KeyError: filename is reserved",
    "a = 1\x00": "null bytes",
    "_base_ = 3": "TypeError",
}


def write(folder: Path, **files: str) -> Path:
    """Write ``name.py`` files; returns the first."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / f"{next(iter(files))}.py"


@pytest.mark.parametrize("text", BROKEN)
def test_whatever_a_config_raises_is_one_line(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, broken=text)
    with pytest.raises(UserInputError) as caught:
        load_config(str(path))
    message = str(caught.value)
    assert BROKEN[text] in message
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 700


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(UserInputError, match="it is not UTF-8; save it as UTF-8"):
        load_config(str(path))


def test_an_error_in_a_base_names_the_base_and_the_line(tmp_path: Path) -> None:
    path = write(tmp_path, top="_base_ = './base.py'", base="a = 1\nb = 1 / 0")
    with pytest.raises(UserInputError, match=r"top.py cannot be read in its base .*base.py, line 2: ZeroDivisionError"):
        load_config(str(path))


@pytest.mark.parametrize("ending", ["yaml", "yml", "json", "txt"])
@pytest.mark.parametrize("as_base", [False, True])
def test_only_python_is_read(ending: str, as_base: bool, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    other = tmp_path / f"evil.{ending}"
    other.write_text(f'a: !!python/object/apply:os.system ["touch {marker}"]\n')
    path = write(tmp_path, top=f"_base_ = './{other.name}'") if as_base else other
    with pytest.raises(UserInputError, match=rf"evil.{ending}, which is not Python; configs are .py files"):
        load_config(str(path))
    assert not marker.exists()


def test_bases(tmp_path: Path) -> None:
    cases = {
        "a": ({"a": "_base_ = './none.py'"}, "which does not exist; the path is relative to the file that names it"),
        "b": ({"b": "_base_ = 'https://example.org/x.py'"}, "which does not exist"),
        "c": ({"c": "_base_ = './c.py'"}, "goes round in a circle: .*c.py -> .*c.py"),
        "d": ({"d": "_base_ = ['./e.py']", "e": "_base_ = './f.py'", "f": "_base_ = './d.py'"}, "d.py -> .*e.py -> "),
        "g": ({"g": "_base_ = ['./h.py', './i.py']", "h": "x = 1", "i": "x = 2"}, "Duplicate key is not allowed"),
        "j": ({"j": "_base_ = '.'"}, "is not Python"),
        # Each of them reads two, without a circle: 2 ** 12 files.
        "k0": ({f"k{n}": f"_base_ = ['./k{n + 1}.py', './k{n + 1}.py']" for n in range(12)} | {"k12": ""}, MAX_FILES),
    }
    for files, message in cases.values():
        start = time.monotonic()
        with pytest.raises(UserInputError, match=str(message)) as caught:
            load_config(str(write(tmp_path, **files)))
        assert "\n" not in str(caught.value)
        assert time.monotonic() - start < 5


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.py")
    cases = {
        tmp_path: "is a folder; give a file in it",
        tmp_path / "fifo.py": "is no regular file",
        tmp_path / "none.py": "does not exist; the ready ones are listed by",
        tmp_path / ("long" * 100): "does not exist",
        "a\x00b.py": "does not exist",
    }
    for path, message in cases.items():
        with pytest.raises(UserInputError, match=message):
            load_config(str(path))


def test_an_empty_config_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="has no model"):
        load_config(str(write(tmp_path, empty="")))


def test_mmengine_reads_as_before_afterwards(tmp_path: Path) -> None:
    from mmengine.config import Config

    readers = (Config._file2dict, Config._parse_lazy_import)
    with pytest.raises(UserInputError):
        read_config(write(tmp_path, a="a = b"))
    assert read_config(CONFIG).model.head.num_classes == 10
    assert (Config._file2dict, Config._parse_lazy_import) == readers
    (tmp_path / "a.json").write_text('{"b": 1}')
    assert Config.fromfile(tmp_path / "a.json").b == 1


def test_overrides_that_do_not_fit() -> None:
    with pytest.raises(UserInputError, match="no 'modle'; did you mean 'model'"):
        load_config(CONFIG, {"modle.head.num_classes": 3})
    with pytest.raises(UserInputError, match="the config has no 'q'"):
        load_config(CONFIG, {"q": 3})
    for overrides in ({"custom_hooks.17.start": 3}, {"log_level.a": 3}, {"custom_hooks.0": "x"}):
        with pytest.raises(UserInputError, match="does not fit"):
            load_config(CONFIG, overrides)
