"""Errors of system and machine that the user can fix, each worded as one line."""

from __future__ import annotations

import errno
import pickle
import re
import shutil
import signal
import sys
import tempfile
import traceback
from multiprocessing.connection import wait
from pathlib import Path
from urllib.error import URLError

from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError, split_report
from lt_plugins.options import ALLOW_PICKLE_OPTION

# What to do about an error of the operating system.
_ADVICE = {
    errno.ENOSPC: "make room, or write to another disk",
    errno.EDQUOT: "the quota is used up: make room, or write to another disk",
    errno.EROFS: "give a folder that can be written to",
    errno.EACCES: "change its permissions, or give another path",
    errno.EPERM: "change its permissions, or give another path",
    errno.ENOENT: "give a path that exists",
    errno.ENOTDIR: "a part of the path is a file: give another path",
    errno.EISDIR: "it is a folder: give a file",
    errno.EEXIST: "give another path",
    errno.ENOTEMPTY: "give another path",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ELOOP: "its symbolic links go round in a circle: remove them, or give another path",
    errno.EMFILE: "allow more open files (ulimit -n), or lower num_workers of the data loaders",
    errno.ENFILE: "too many files are open on this machine: lower num_workers of the data loaders",
    errno.EIO: "the disk or the network share failed: check it, or use another one",
    errno.ESTALE: "the network share has changed: mount it again",
    errno.ETXTBSY: "stop the program that runs from it, or give another path",
    errno.EBUSY: "something else uses it: stop that, or give another path",
    errno.EINVAL: "give another path",
    errno.EFBIG: "the file may not get that large: raise ulimit -f, or write to another disk",
    errno.ENOMEM: "lower batch_size or num_workers of the data loaders, or free memory",
    errno.EAGAIN: "allow more processes (ulimit -u), or lower num_workers of the data loaders",
    errno.EADDRINUSE: "another run uses the port: set MASTER_PORT (PORT of tools/dist_train.sh) to a free one",
    errno.ENXIO: "it is no regular file: give another path",
    errno.ENODEV: "it is no regular file: give another path",
}
_MEMORY_ADVICE = "lower batch_size or num_workers of the data loaders, or free memory"
_SHARED_MEMORY_ADVICE = (
    "/dev/shm is too small for the data-loader workers: enlarge it (docker run --shm-size=8g), or lower num_workers "
    "(0 needs none) or batch_size of the data loaders"
)
_SHARED_MEMORY = Path("/dev/shm")
_NO_SHARED_MEMORY = r"unable to (open|allocate|write|resize|mmap|map).*(shared memory|/torch_)"
_DEATH_SECONDS = 1.0
_WORKER_KILLED = r"DataLoader worker \(pid.*killed by signal: "

# How torch, OpenCV and numpy word what the machine lacks, and what to do about it. The first that is found counts.
_MACHINE = {
    rf"{_NO_SHARED_MEMORY}.*Too many open|received \d+ items of ancdata": _ADVICE[errno.EMFILE],
    rf"{_NO_SHARED_MEMORY}|DataLoader worker.*Bus error|insufficient shared memory": _SHARED_MEMORY_ADVICE,
    rf"{_WORKER_KILLED}Killed|DataLoader worker \(pid.*exited unexpectedly": f"memory ran out? {_MEMORY_ADVICE}",
    rf"{_WORKER_KILLED}(Terminated|Interrupt|Hangup)": "somebody stopped it: start again",
    rf"{_WORKER_KILLED}": "a library crashed on an image: check the files with tools/check_data.py CONFIG",
    r"DataLoader timed out": "raise timeout or num_workers of the data loader, and check the disk",
    r"DefaultCPUAllocator|[Cc]an(no|')t allocate memory|std::bad_alloc|Failed to allocate \d+ bytes": _MEMORY_ADVICE,
    r"CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED": "lower train_dataloader.batch_size, or "
    "train with --amp",
    r"stack expects each tensor to be equal size": "images reach the model in different sizes: add "
    "dict(type='Resize', scale=(W, H)) or a crop to the pipeline",
    r"can't start new thread": _ADVICE[errno.EAGAIN],
    r"No CUDA GPUs are available|CUDA driver version is insufficient|NVIDIA driver on your system is too old"
    r"|no kernel image is available": "python -m lt_plugins shows what torch can use here",
    r"EADDRINUSE|[Aa]ddress already in use": _ADVICE[errno.EADDRINUSE],
}

# How mmengine, python and torch word a mistake in a config that shows after the components are built from it.
_CONFIG_MISTAKE = re.compile(
    r"is not in the .* registry|unexpected keyword argument|missing \d+ required (positional|keyword-only) argument"
    r"|loaded state dict .* (parameter groups|match the size)"
)
_SENTENCE_END = re.compile(r"\n|(?<=[^.])\. (?=[A-Z])")
_SYSTEM_ERROR = re.compile(r"\[Errno (\d+)\] (.*?)(?:: '(.*)')?", re.DOTALL)


def error_line(error: BaseException) -> str | None:
    """Word an error and its fix as one line; None for one that the user cannot fix.

    Args:
        error (BaseException): What ended a tool. An error of a data-loader worker counts as if it had been raised here.

    Returns:
        str | None: The message, None for a bug.
    """
    name, text = split_report(str(error))
    if isinstance(error, UserInputError) or name.endswith(".UserInputError"):
        return text
    if isinstance(error, URLError):
        return f"download failed ({error.reason}); put the file where docs/data.md says by hand."
    if type(error).__module__.startswith("wandb."):
        return f"Weights & Biases: {text.rstrip('.')}; or set WANDB_MODE=offline, which sends nothing."
    if isinstance(error, pickle.UnpicklingError):
        return f"{text}; if you trust the file, allow its pickles with {ALLOW_PICKLE_OPTION}."
    if isinstance(error, getattr(sys.modules.get("torch"), "OutOfMemoryError", ())):
        return f"{text} Lower train_dataloader.batch_size, or train with --amp."
    if isinstance(error, MemoryError):
        return f"memory is exhausted{f' ({text})' if text else ''}; {_MEMORY_ADVICE}."
    if isinstance(error, OSError | EOFError) or "exited unexpectedly" in text:
        dead = _describe_dead_worker(error)  # whose connection is what broke
        if dead is None and isinstance(error, OSError):
            return _system_error_line(error, text)
        text = dead or text
    for pattern, advice in _MACHINE.items():
        if match := re.search(pattern, text, re.DOTALL):
            return f"{_sentence_at(match.start(), text)}; {advice}."
    if isinstance(error, Exception) and (line := _build_error_line(error)) is not None:
        return line
    if isinstance(error, KeyError | TypeError | ValueError) and _CONFIG_MISTAKE.search(text):
        return f"the config does not fit the code: {text}"
    return None


def _build_error_line(error: Exception) -> str | None:
    """Which component of a config could not be built; nothing is built before mmengine is imported."""
    if "mmengine.registry" not in sys.modules:
        return None
    from lt_plugins.checks.build_errors import explain_build_error

    return explain_build_error(error)


def _describe_dead_worker(error: BaseException) -> str | None:
    """Find the signal that killed a data-loader worker, which torch does not name."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        workers = getattr(frame.f_locals.get("self"), "_workers", ())
        if workers and isinstance(error, ConnectionError | EOFError):
            wait([worker.sentinel for worker in workers], timeout=_DEATH_SECONDS)  # a connection breaks before the end
        for worker in workers:
            if worker.exitcode is not None and worker.exitcode < 0:
                return f"DataLoader worker (pid {worker.pid}) is killed by signal: {signal.strsignal(-worker.exitcode)}"
    return None


def _system_error_line(error: OSError, text: str) -> str:
    """Word an error of the system, like ``Is a directory: results; it is a folder: give a file.``."""
    number, reason, path = error.errno, error.strerror, error.filename
    if number is None and (match := _SYSTEM_ERROR.fullmatch(text)):  # from another process: only the words came
        number, reason, path = int(match[1]), match[2], match[3]
    if number is None:
        return text or type(error).__name__
    if isinstance(path, bytes):
        path = path.decode(errors="surrogateescape")
    where = f": {show_path(path)}" if path not in (None, "") else ""
    if number in (errno.ENOSPC, errno.EDQUOT) and not where:
        full = _full_folders()
        where = f" (full: {', '.join(map(str, full))})" if full else ""
        if full == [_SHARED_MEMORY]:
            return f"{reason}{where}; {_SHARED_MEMORY_ADVICE}."
    return f"{reason}{where}" + (f"; {_ADVICE[number]}." if number in _ADVICE else "")


def _full_folders() -> list[Path]:
    """Find the folders without room that this command writes to; the system does not name the file."""
    given = [Path(part.partition("=")[2] or part) for part in sys.argv[1:]]
    candidates = [*given, Path.cwd(), Path(tempfile.gettempdir()), _SHARED_MEMORY]
    full: dict[int, Path] = {}
    for path in candidates:
        try:
            folder = next(place for place in (path, *path.parents) if place.is_dir())
            if shutil.disk_usage(folder).free < 2**20:
                full.setdefault(folder.stat().st_dev, folder)
        except (OSError, StopIteration, ValueError):
            continue
    return list(full.values())


def _sentence_at(start: int, text: str) -> str:
    """Extract the sentence of a message of torch, without explanations and the C++ stack."""
    begin = max((end.end() for end in _SENTENCE_END.finditer(text, 0, start + 1)), default=0)
    return _SENTENCE_END.split(text[begin:].strip(), maxsplit=1)[0].rstrip(".")
