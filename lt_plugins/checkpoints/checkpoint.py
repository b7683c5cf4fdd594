"""Reading checkpoints without running what they contain."""

from __future__ import annotations

import os
import pickle
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from lt_plugins.checkpoints.finite import check_finite_checkpoint
from lt_plugins.checkpoints.lite0_weights import LITE0_ADDRESS, find_lite0_file, lite0_state_dict
from lt_plugins.checkpoints.safetensors_file import SAFETENSORS_SUFFIX, is_safetensors, read_classes, read_safetensors
from lt_plugins.checkpoints.version_0_1 import update_checkpoint
from lt_plugins.errors import UserInputError
from lt_plugins.options import ALLOW_PICKLE_OPTION
from lt_plugins.unreadable import describe

LAST_CHECKPOINT = "last_checkpoint"
_FORCE_SAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"

# Where mmengine reads checkpoints from beside local files, by the pattern of the address: a model zoo, http, s3.
_REMOTE_LOADERS = {pattern: loader for pattern, loader in CheckpointLoader._schemes.items() if pattern}
_URL = re.compile(r"[A-Za-z][\w+.-]*://")
_ZIP_MAGIC = b"PK\x03\x04"
_MAX_POINTER_BYTES = 4096

# What torch's weights_only unpickler says of a file that asks for more than tensors and plain types, as opposed to one
# that is damaged or no checkpoint.
_NEEDS_PICKLE = ("GLOBAL", "Trying to call reduce", "Can only create new object", "Can only build")


def _history_buffer_method(owner: Any, name: str) -> Callable[..., Any]:
    """Stand in for ``getattr``, by which mmengine's logs name statistics of ``HistoryBuffer``; all else is refused."""
    if owner is not HistoryBuffer or name not in ("min", "max", "mean", "current"):
        raise pickle.UnpicklingError(f"GLOBAL getattr of {owner} {name} is not allowed")
    return getattr(HistoryBuffer, name)


def _safe_globals() -> list[Any]:
    """What mmengine's own checkpoints hold beside tensors and plain types: log histories, which are numpy arrays."""
    # The functions that rebuild an array or a scalar, as numpy 1 and numpy 2 name them.
    rebuilders = {"_reconstruct": np.zeros(0).__reduce__()[0], "scalar": np.float64(0).__reduce__()[0]}
    names = [
        (function, f"{module}.multiarray.{name}")
        for name, function in rebuilders.items()
        for module in ("numpy.core", "numpy._core")
    ]
    dtypes = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"]
    return [*names, np.ndarray, np.dtype, *dtypes, HistoryBuffer, (_history_buffer_method, "builtins.getattr")]


_allowing = threading.RLock()


@contextmanager
def _allowed_globals() -> Iterator[None]:
    """Allow :func:`_safe_globals`, in one thread at a time: the first to leave takes torch's list from all others."""
    with _allowing, torch.serialization.safe_globals(_safe_globals()):
        yield


def load_checkpoint(
    path: str | Path, map_location: Any = "cpu", allow_pickle: bool = False, mmap: bool = False
) -> dict[str, Any]:
    """Read a checkpoint file; nothing in it is executed.

    The checksums in the file are verified (torch writes them and does not look at them), so that a flipped bit in a
    tensor is noticed. Files in torch's format of before 2020 have none. What version 0.1 wrote gets the names of today.

    Args:
        path (str | Path): The file, ``.pth`` or ``.safetensors``; or an address that mmengine knows, such as
            ``torchvision://resnet50``, or :data:`~lt_plugins.checkpoints.lite0_weights.LITE0_ADDRESS`.
        map_location: As for :func:`torch.load`. Defaults to ``"cpu"``.
        allow_pickle (bool): Run the pickle in the file, for files from a source you trust. Defaults to False.
        mmap (bool): Leave the tensors on the disk until they are used. Defaults to False.

    Returns:
        dict: The checkpoint: ``state_dict`` and perhaps ``meta``, or tensors by name alone.

    Raises:
        UserInputError: If the file is missing, cut off, damaged, no checkpoint, needs ``allow_pickle``, or holds values
            that are not finite.
    """
    checkpoint: dict[str, Any]
    if str(path) == LITE0_ADDRESS:
        checkpoint = lite0_state_dict(_load_torch(find_lite0_file(), map_location, allow_pickle=False, mmap=mmap))
    elif _URL.match(str(path)):
        checkpoint = _load_remote(str(path), map_location, allow_pickle)
    else:
        path = Path(path).expanduser()
        if path.is_dir():
            raise UserInputError(f"checkpoint {path} is a folder; give the path of a .pth file, like epoch_200.pth.")
        if not path.is_file():
            what = "is no regular file" if path.exists() else "does not exist"
            raise UserInputError(f"checkpoint {path} {what}; give the path of a .pth file.")
        if is_safetensors(path):
            tensors = read_safetensors(path)
            checkpoint = {"state_dict": {name: tensor.to(_device(map_location)) for name, tensor in tensors.items()}}
            if classes := read_classes(path):
                checkpoint["meta"] = {"dataset_meta": {"classes": classes}}
        else:
            checkpoint = _load_torch(path, map_location, allow_pickle, mmap)
    _check_content(checkpoint, str(path))
    update_checkpoint(checkpoint)
    try:
        check_finite_checkpoint(checkpoint, str(path))
    except RecursionError as error:
        raise UserInputError(f"{path} holds something that contains itself, expected tensors by name.") from error
    return checkpoint


def guard_pickles(allow_pickle: bool) -> None:
    """Make every way in which this process reads a checkpoint safe; the tools call it first.

    mmengine falls back to running the pickle where safe loading fails. From here on all checkpoints, for mmengine's
    runner and ``init_cfg`` too, go through :func:`load_checkpoint`, and torch itself refuses pickles.

    Args:
        allow_pickle (bool): The user trusts the files, so pickles may run.
    """
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    if allow_pickle:
        os.environ.pop(_FORCE_SAFE, None)
    else:
        os.environ[_FORCE_SAFE] = "1"

    def load_from_guarded(filename: str, map_location: Any = None) -> dict[str, Any]:
        return load_checkpoint(filename, map_location, allow_pickle)

    CheckpointLoader.register_scheme(["", *_REMOTE_LOADERS], load_from_guarded, force=True)


def load_from_safe_file(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Let mmengine (``load_from``, ``init_cfg``) read what it has no loader for: ``.safetensors``, Lite0's weights.

    It does so with :func:`guard_pickles` or without.

    Args:
        filename (str): The file or address.
        map_location: As for :func:`torch.load`. Defaults to None, the CPU.

    Returns:
        dict: The checkpoint.
    """
    return load_checkpoint(filename, map_location)


CheckpointLoader.register_scheme([rf".*\{SAFETENSORS_SUFFIX}$", LITE0_ADDRESS], load_from_safe_file, force=True)


def find_last_checkpoint(work_dir: str | Path) -> str | None:
    """The checkpoint that the file ``last_checkpoint`` of a work dir names.

    Args:
        work_dir (str | Path): The folder of a run; it may have been moved since.

    Returns:
        str | None: The path of the checkpoint, or None if the run has written none yet.

    Raises:
        UserInputError: If the named checkpoint is gone.
    """
    pointer = Path(work_dir, LAST_CHECKPOINT)
    if not pointer.is_file():
        return None
    with pointer.open("rb") as file:
        text = os.fsdecode(file.read(_MAX_POINTER_BYTES)).replace("\0", "").strip()
    for candidate in (Path(work_dir, Path(text).name), Path(text)):
        if candidate.is_file():
            return str(candidate)
    shown = repr(text[:100]) if len(text) > 100 or not text.isprintable() or not text else text
    raise UserInputError(f"{pointer} names {shown}, which is gone; give one with --resume PATH, or delete {pointer}.")


def find_resume_problem(checkpoint: dict[str, Any]) -> str | None:
    """Why a run cannot be resumed from a checkpoint.

    Args:
        checkpoint (dict): As :func:`load_checkpoint` gave it.

    Returns:
        str | None: What it lacks, None if it has all that mmengine reads.
    """
    parts: dict[str, Any] = {key: checkpoint.get(key) for key in ("meta", "message_hub", "optimizer")}
    missing = [key for key, value in parts.items() if not isinstance(value, dict) or not value]
    if not missing:
        missing += [f"meta.{key}" for key in ("epoch", "iter") if not isinstance(parts["meta"].get(key), int)]
        hub = ("log_scalars", "runtime_info", "resumed_keys")
        missing += [f"message_hub.{key}" for key in hub if not isinstance(parts["message_hub"].get(key), dict)]
    return ", ".join(missing) or None


def _load_torch(path: Path, map_location: Any, allow_pickle: bool, mmap: bool) -> Any:
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
    try:
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(f"the checksum of {damaged} does not match")
        # Of a name that is not UTF-8 torch opens no file, but it reads an open one.
        is_mapped = mmap and is_zip and str(path).encode(errors="replace") == os.fsencode(path)
        with _allowed_globals(), path.open("rb") as file:
            source = path if is_mapped else file
            return torch.load(source, map_location, weights_only=not allow_pickle, mmap=is_mapped)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a parser of unknown bytes raises anything
        raise _explain(error, str(path), path) from error


def _load_remote(address: str, map_location: Any, allow_pickle: bool) -> Any:
    loader = next((loader for pattern, loader in _REMOTE_LOADERS.items() if re.match(pattern, address)), None)
    if loader is None:
        raise UserInputError(
            f"checkpoint {address}: no loader for {_URL.match(address)[0]}; fetch the file and give its path."  # type: ignore[index]
        )
    before = os.environ.get(_FORCE_SAFE)
    if not allow_pickle:
        os.environ[_FORCE_SAFE] = "1"
    try:
        with _allowed_globals():
            return loader(address, map_location)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of a network, a missing package, a parser of unknown bytes
        raise _explain(error, address, None) from error
    finally:
        if not allow_pickle and before is None:
            os.environ.pop(_FORCE_SAFE, None)


def _explain(error: Exception, name: str, path: Path | None) -> UserInputError:
    """What to tell the user about a checkpoint that could not be read; ``path`` is None if it is not on this disk."""
    reason = str(error)
    if isinstance(error, pickle.UnpicklingError) and any(mark in reason for mark in _NEEDS_PICKLE):
        return UserInputError(
            f"checkpoint {name} holds more than tensors and plain values ({_first_global(reason)}), and loading it "
            f"would run code from the file; if you trust its source, allow that with {ALLOW_PICKLE_OPTION}."
        )
    if path is None:
        return UserInputError(
            f"checkpoint {name} could not be fetched ({describe(error)}); fetch the file by other means and give its "
            "path, or delete a damaged copy in ~/.cache/torch/hub/checkpoints."
        )
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(64)
    if size == 0 or (start.startswith(_ZIP_MAGIC) and not _has_end(path)):
        return UserInputError(
            f"checkpoint {path} is cut off ({size} bytes), as by a full disk or a broken download; "
            "use an older one or fetch it again."
        )
    if tarfile.is_tarfile(path):
        return UserInputError(
            f"{path} is in torch's tar format of 2016, which cannot be read without running code; save it again with "
            f"a current torch, or allow that with {ALLOW_PICKLE_OPTION} if you trust its source."
        )
    if isinstance(error, zipfile.BadZipFile):
        return UserInputError(f"checkpoint {path} is damaged ({describe(error)}); use an older one or fetch it again.")
    is_text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)
    # torch's own advice, to switch its protection off, is not passed on.
    reason = type(error).__name__ if "weights_only" in reason else describe(error)
    what = "it is a text file" if is_text else reason
    return UserInputError(
        f"{path} is not a checkpoint of torch, or is damaged ({what}); give the path of a .pth file of a training."
    )


def _has_end(path: Path) -> bool:
    """Whether a zip file has its last record, damaged or not."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def _check_content(checkpoint: Any, name: str) -> None:
    """Refuse what is not tensors by name, and drop what others put where mmengine looks for its own."""
    if not isinstance(checkpoint, dict):
        raise UserInputError(f"{name} holds a {type(checkpoint).__name__}, expected a checkpoint with a state_dict.")
    if "state_dict" not in checkpoint and not any(isinstance(value, Tensor) for value in checkpoint.values()):
        entries = ", ".join(str(key)[:40] for key in [*checkpoint][:5]) or "nothing"
        raise UserInputError(f"{name} holds no state_dict (it has: {entries}), expected tensors by name.")
    state_dict = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state_dict, dict):
        raise UserInputError(f"{name} has a {type(state_dict).__name__} as state_dict, expected tensors by name.")
    for key, value in state_dict.items():
        if not isinstance(key, str):
            raise UserInputError(f"{name} has the key {str(key)[:40]!r} in its state_dict, expected names of tensors.")
        is_other = key == "meta" if state_dict is checkpoint else key.endswith("_extra_state")
        if isinstance(value, Tensor):
            if value.is_meta or value.is_quantized or value.layout != torch.strided:
                kind = "no data" if value.is_meta else "a sparse or quantised layout"
                raise UserInputError(f"tensor {key} in {name} has {kind}, expected a dense one; save it as such.")
        elif not is_other:
            raise UserInputError(f"{name} has a {type(value).__name__} as {key[:80]!r}, expected tensors by name.")
    meta = checkpoint.get("meta")
    if isinstance(meta, dict):
        # mmengine's resume would execute this entry as a python config file (to compare numbers of GPUs).
        meta.pop("config", None)
        for counter in ("epoch", "iter"):
            if type(meta.get(counter)) is not int:
                meta.pop(counter, None)
    else:
        checkpoint.pop("meta", None)


def _device(map_location: Any) -> torch.device:
    return torch.device(map_location if isinstance(map_location, str | int | torch.device) else "cpu")


def _first_global(reason: str) -> str:
    """The name that torch's message complains about."""
    _, mark, rest = reason.partition("GLOBAL ")
    return rest.split()[0] if mark else "a pickled object"
