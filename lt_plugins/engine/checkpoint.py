"""Reading checkpoints without running what they contain."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from lt_plugins.engine.finite import check_finite_checkpoint
from lt_plugins.errors import UserInputError

ALLOW_PICKLE_OPTION = "--allow-pickle"

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


def load_checkpoint(path: str | Path, map_location: Any = "cpu", allow_pickle: bool = False) -> dict[str, Any]:
    """Read a checkpoint file; nothing in it is executed.

    Args:
        path (str | Path): The file.
        map_location: As for :func:`torch.load`. Defaults to ``"cpu"``.
        allow_pickle (bool): Run the pickle in the file, for files from a source you trust. Defaults to False.

    Returns:
        dict: The checkpoint, as a rule with ``state_dict`` and ``meta``.

    Raises:
        UserInputError: If the file is missing, cut off, no checkpoint, needs ``allow_pickle``, or holds values that
            are not finite.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserInputError(f"checkpoint {path} does not exist; give the path of a .pth file.")
    try:
        with torch.serialization.safe_globals(_safe_globals()):
            checkpoint = torch.load(path, map_location=map_location, weights_only=not allow_pickle)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if any(mark in reason for mark in _NEEDS_PICKLE):
            raise UserInputError(
                f"checkpoint {path} holds more than tensors and plain values ({_first_global(reason)}), and loading it "
                f"would run code from the file; if you trust its source, allow that with {ALLOW_PICKLE_OPTION}."
            ) from error
        raise UserInputError(_damaged(path)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserInputError(_damaged(path)) from error
    if not isinstance(checkpoint, dict):
        raise UserInputError(f"{path} holds a {type(checkpoint).__name__}, expected a checkpoint with a state_dict.")
    if isinstance(checkpoint.get("meta"), dict):
        # mmengine's resume would execute this entry as a python config file (to compare numbers of GPUs).
        checkpoint["meta"].pop("config", None)
    check_finite_checkpoint(checkpoint, str(path))
    return checkpoint


def guard_pickles(allow_pickle: bool) -> None:
    """Make every way in which this process reads a checkpoint safe; the tools call it first.

    mmengine falls back to running the pickle where safe loading fails. From here on local files, for mmengine's runner
    too, go through :func:`load_checkpoint`, and torch itself refuses pickles from anywhere else (a model zoo, a URL).

    Args:
        allow_pickle (bool): The user trusts the files, so pickles may run.
    """
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    if allow_pickle:
        os.environ.pop("TORCH_FORCE_WEIGHTS_ONLY_LOAD", None)
    else:
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

    def load_from_local(filename: str, map_location: Any) -> dict[str, Any]:
        return load_checkpoint(filename, map_location, allow_pickle)

    CheckpointLoader.register_scheme("", load_from_local, force=True)


def find_last_checkpoint(work_dir: str | Path) -> str | None:
    """The checkpoint that the file ``last_checkpoint`` of a work dir names.

    Args:
        work_dir (str | Path): The folder of a run; it may have been moved since.

    Returns:
        str | None: The path of the checkpoint, or None if the run has written none yet.

    Raises:
        UserInputError: If the named checkpoint is gone.
    """
    pointer = Path(work_dir, "last_checkpoint")
    if not pointer.is_file():
        return None
    named = Path(pointer.read_text().strip())
    for candidate in (Path(work_dir, named.name), named):
        if candidate.is_file():
            return str(candidate)
    raise UserInputError(f"{pointer} names {named}, which is gone; give one with --resume PATH, or delete {pointer}.")


def _first_global(reason: str) -> str:
    """The name that torch's message complains about."""
    _, mark, rest = reason.partition("GLOBAL ")
    return rest.split()[0] if mark else "a pickled object"


def _damaged(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04" and not zipfile.is_zipfile(path):
        return (
            f"checkpoint {path} is cut off ({path.stat().st_size} bytes), as by a full disk or a broken download; "
            "use an older one or fetch it again."
        )
    return f"{path} is not a checkpoint of torch, or is damaged; give the path of a .pth file written by training."
