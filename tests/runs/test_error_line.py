"""Which errors the user can fix."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import re
import signal
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lt_plugins.errors import UserInputError
from lt_plugins.runs import error_line as module
from lt_plugins.runs.error_line import error_line
from tests.test_errors import Broken


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserInputError("one thing"), "one thing"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "No such file or directory: a.txt; give a path"),
        (FileNotFoundError("no images in data/"), "no images in data/"),
        (OSError(errno.ENOSPC, "No space left on device", "w/log"), "No space left on device: w/log; make room"),
        (OSError(errno.EROFS, "Read-only file system", "w"), "Read-only file system: w; give a folder that can be"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", b"l"), "Too many levels of symbolic links: l; its"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "File name too long: x; give a shorter path."),
        (OSError(errno.EMFILE, "Too many open files", "x"), "Too many open files: x; allow more open files (ulimit"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory; lower batch_size or num_workers"),
        (OSError("cannot identify image file 'a.jpg'"), "cannot identify image file 'a.jpg'"),
        (
            RuntimeError(
                "stack expects each tensor to be equal size, but got [3, 9, 8] at entry 0 and [3, 8, 9] at entry"
            ),
            "stack expects each tensor to be equal size, but got [3, 9, 8] at entry 0 and [3, 8, 9] at entry; images",
        ),
        (URLError("no route to host"), "download failed (no route to host); put the file where docs/data.md"),
        (pickle.UnpicklingError("no pickles"), "no pickles; if you trust the file, allow its pickles with --allow-p"),
        (torch.OutOfMemoryError("CUDA out of memory."), "CUDA out of memory. Lower train_dataloader.batch_size"),
        (MemoryError(), "memory is exhausted; lower batch_size or num_workers"),
        (TypeError("A() got an unexpected keyword argument 'b'"), "the config does not fit the code: A() got"),
        (KeyError("Foo is not in the mmpretrain::model registry."), "the config does not fit the code: 'Foo is not"),
        (
            RuntimeError("DataLoader worker (pid 71) is killed by signal: Killed. "),
            "DataLoader worker (pid 71) is killed by signal: Killed; memory ran out? lower batch_size",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 71, 72) exited unexpectedly"),
            "DataLoader worker (pid(s) 71, 72) exited unexpectedly; memory ran out? lower",
        ),
        (
            RuntimeError(
                "DataLoader worker (pid 71) is killed by signal: Bus error. It is possible that dataloader's workers "
                "are out of shared memory. Please try to raise your shared memory limit."
            ),
            "DataLoader worker (pid 71) is killed by signal: Bus error; /dev/shm is too small for the data-loader",
        ),
        (
            RuntimeError("unable to allocate shared memory(shm) for file </torch_9_1>: No space left on device (28)"),
            "unable to allocate shared memory(shm) for file </torch_9_1>: No space left on device (28); /dev/shm is",
        ),
        (
            RuntimeError("unable to open shared memory object </torch_9_1> in read-write mode: Too many open files"),
            "unable to open shared memory object </torch_9_1> in read-write mode: Too many open files; allow more",
        ),
        (RuntimeError("received 0 items of ancdata"), "received 0 items of ancdata; allow more open files"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: x"),
            "DefaultCPUAllocator: can't allocate memory: x; lower",
        ),
        (RuntimeError("can't start new thread"), "can't start new thread; allow more processes (ulimit -u)"),
    ],
)
def test_line(error: Exception, line: str) -> None:
    found = error_line(error)
    assert found is not None and found.startswith(line)


@pytest.mark.parametrize(
    "error", [KeyError("a"), TypeError("unsupported operand"), ZeroDivisionError(), RuntimeError("shape mismatch")]
)
def test_bugs(error: Exception) -> None:
    assert error_line(error) is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.jpg"), "No such file or directory: a.jpg; give a path"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory; lower batch_size"),
        (MemoryError("no room"), "memory is exhausted (no room); lower"),
        (RuntimeError("std::bad_alloc"), "std::bad_alloc; lower batch_size"),
    ],
)
def test_line_of_a_worker(error: Exception, line: str) -> None:
    with pytest.raises(Exception, match="Original Traceback") as caught:
        next(iter(DataLoader(Broken(error), num_workers=1)))
    found = error_line(caught.value)
    assert found is not None and found.startswith(line)
    assert "\n" not in found


def test_memory_of_numpy_and_torch() -> None:
    """As these versions word it."""
    for action in (lambda: np.zeros(2**58, np.uint8), lambda: torch.zeros(2**58, dtype=torch.uint8)):
        with pytest.raises((MemoryError, RuntimeError)) as caught:
            action()
        found = error_line(caught.value)
        assert found is not None and "lower batch_size or num_workers" in found
        assert "\n" not in found


def test_full_disk_without_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a write the system does not say to which file; the folders of the command line are looked at."""
    monkeypatch.setattr("sys.argv", ["train.py", "--work-dir", str(tmp_path / "run")])
    monkeypatch.setattr(
        module.shutil, "disk_usage", lambda folder: type("", (), {"free": 0 if folder == tmp_path else 2**40})
    )
    error = OSError(errno.ENOSPC, "No space left on device")
    assert error_line(error) == f"No space left on device (full: {tmp_path}); make room, or write to another disk."


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGBUS, r"is killed by signal: Bus error; /dev/shm is too small"),
        (signal.SIGKILL, r"is killed by signal: Killed; memory ran out\?"),
        (signal.SIGSEGV, r"is killed by signal: Segmentation fault; a library crashed on an image"),
    ],
)
def test_line_of_a_dead_worker(number: int, line: str) -> None:
    """Whether torch learns of it by the signal of the child, or by looking when no batch comes."""
    with pytest.raises(RuntimeError, match="DataLoader worker") as caught:
        list(DataLoader(Dying(number), num_workers=1))
    found = error_line(caught.value)
    assert found is not None and re.search(line, found)


@pytest.mark.parametrize(
    "broken", [ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), EOFError(), FileNotFoundError()]
)
def test_line_of_a_dead_worker_whose_batch_was_on_its_way(broken: Exception) -> None:
    """Its tensors come through a connection to it, which breaks in words of its own."""
    worker = multiprocessing.get_context("fork").Process(target=signal.raise_signal, args=(signal.SIGKILL,))
    worker.start()
    worker.join()

    class Iterator:
        _workers = (worker,)

        def fetch(self) -> None:
            raise broken

    with pytest.raises(type(broken)) as caught:
        Iterator().fetch()
    found = error_line(caught.value)
    assert found is not None and "is killed by signal: Killed; memory ran out?" in found


class Dying(Dataset):
    """Its worker dies of a signal."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        os.kill(os.getpid(), self.number)
        return torch.zeros(1)
