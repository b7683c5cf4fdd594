"""Packages from wheels and data from archives, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.bare_machine import add_to_path, install_wheels, missing_modules, unpack_archives


def write_wheel(folder: Path, name: str, needs: str = "") -> None:
    """A wheel with one module."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (f"Requires-Dist: {needs}\n" if needs else "")
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", "value = 1\n")
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the search path as it was."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "/before")


@pytest.mark.usefixtures("paths")
def test_wheels_are_found_by_this_process_and_its_children(tmp_path: Path) -> None:
    wheels, target = tmp_path / "wheels", tmp_path / "packages"
    write_wheel(wheels, "lt_example_one", needs="lt-example-that-nobody-has")
    assert missing_modules(["os", "lt_example_one"]) == ["lt_example_one"]
    install_wheels(wheels, target)
    assert missing_modules(["lt_example_one"]) == []
    child = subprocess.run([sys.executable, "-c", "import lt_example_one"], capture_output=True, check=False)
    assert child.returncode == 0
    stamp = (target / "lt_example_one.py").stat().st_mtime_ns
    install_wheels(wheels, target)
    assert (target / "lt_example_one.py").stat().st_mtime_ns == stamp, "the same wheels are not installed again"
    write_wheel(wheels, "lt_example_two")
    install_wheels(wheels, target)
    assert (target / "lt_example_two.py").is_file() and sys.path.count(str(target)) == 1


@pytest.mark.usefixtures("paths")
def test_path_of_children() -> None:
    add_to_path([Path("/a"), Path("/b")])
    add_to_path([Path("/c")])
    assert os.environ["PYTHONPATH"].split(os.pathsep) == ["/c", "/a", "/b", "/before"]
    assert sys.path[:3] == ["/c", "/a", "/b"]


def test_wheels_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"has no .*whl"):
        install_wheels(tmp_path, tmp_path / "packages")
    (tmp_path / "example-1.0-cp27-cp27m-win32.whl").write_bytes(b"")
    with pytest.raises(UserInputError, match=r"pip cannot install the wheels of .* not a supported wheel"):
        install_wheels(tmp_path, tmp_path / "packages")


def write_archive(path: Path, names: list[str]) -> None:
    """An archive of small files."""
    path.parent.mkdir(exist_ok=True)
    source = path.with_name("source")
    with tarfile.open(path, "w:gz") as file:
        for name in names:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(name)
            file.add(source / name, name)


def test_archives(tmp_path: Path) -> None:
    archives, data = tmp_path / "archives", tmp_path / "data"
    write_archive(archives / "cifar10.tar.gz", ["cifar10/train/cat/1.webp", "cifar10/test/cat/2.webp"])
    (data / "cifar10").mkdir(parents=True)
    (data / "cifar10" / "note.txt").write_text("what was there stays")
    unpack_archives(archives, data, ["cifar10"])
    assert (data / "cifar10/train/cat/1.webp").read_text() == "cifar10/train/cat/1.webp"
    assert sorted(path.name for path in (data / "cifar10").iterdir()) == ["note.txt", "test", "train"]
    assert [path.name for path in data.iterdir()] == ["cifar10"]
    (archives / "cifar10.tar.gz").unlink()
    unpack_archives(archives, data, ["cifar10"])  # it is there
    with pytest.raises(UserInputError, match=r"has no cifar100\.tar\.gz, and .*cifar100/train is not there"):
        unpack_archives(archives, data, ["cifar100"])
    (archives / "cifar100.tar.gz").write_text("no archive")
    with pytest.raises(UserInputError, match=r"cifar100\.tar\.gz cannot be unpacked"):
        unpack_archives(archives, data, ["cifar100"])
    assert not (data / "cifar100").exists()


def test_an_archive_cannot_write_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    with tarfile.open(tmp_path / "archives/cifar10.tar.gz", "w:gz") as file:
        file.addfile(tarfile.TarInfo("../../escaped"))
    with pytest.raises(UserInputError, match="cannot be unpacked"):
        unpack_archives(tmp_path / "archives", tmp_path / "data", ["cifar10"])
