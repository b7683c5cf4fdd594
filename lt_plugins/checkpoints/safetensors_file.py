"""Tensors in a ``.safetensors`` file, with a checksum."""

from __future__ import annotations

import importlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.unreadable import refuse_unreadable, require

SAFETENSORS_SUFFIX = ".safetensors"
_CHECKSUM = "lt_plugins.crc32"
_LENGTH_BYTES = 8


def is_safetensors(path: str | Path) -> bool:
    """Whether a file is one of safetensors by its name.

    Args:
        path (str | Path): The file.
    """
    return Path(path).suffix == SAFETENSORS_SUFFIX


def pack_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """The content of a file. Its metadata hold a checksum, which the format itself has not.

    Args:
        tensors (Mapping[str, Tensor]): Tensors by name, contiguous, on the CPU, none sharing memory with another.
        metadata (Mapping[str, str]): What else the file says. Defaults to nothing.

    Raises:
        UserInputError: If safetensors is not installed.
    """
    library = _safetensors()
    checksum = _checksum(*_split(library.save(dict(tensors))))
    return library.save(dict(tensors), metadata={**metadata, "format": "pt", _CHECKSUM: checksum})


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Read a file; one with a checksum is verified.

    Args:
        path (str | Path): The file, which exists.

    Returns:
        dict[str, Tensor]: Tensors by name, on the CPU.

    Raises:
        UserInputError: If it is no such file or damaged, or safetensors is not installed.
    """
    data = Path(path).read_bytes()
    with refuse_unreadable(
        path, "a file of safetensors", "it is damaged, or something else: export or fetch it again."
    ):
        return unpack_safetensors(data)


def unpack_safetensors(data: bytes) -> dict[str, Tensor]:
    """Tensors of the content of a file; a checksum is verified.

    Args:
        data (bytes): The content.

    Returns:
        dict[str, Tensor]: Tensors by name, on the CPU.

    Raises:
        Exception: Whatever a parser says of something else.
    """
    tensors: dict[str, Tensor] = _safetensors().load(data)
    header, content = _split(data)
    checksum = header.get("__metadata__", {}).get(_CHECKSUM)
    require(checksum in (None, _checksum(header, content)), "its checksum does not match")
    return tensors


def read_classes(path: str | Path) -> list[str] | None:
    """Class names in the metadata of a file, as ``tools/export.py --to safetensors`` writes them.

    Args:
        path (str | Path): The file, which :func:`read_safetensors` has read.

    Returns:
        list[str] | None: The names in label order; None if it has none.
    """
    with Path(path).open("rb") as file:
        start = file.read(_LENGTH_BYTES)
        header = json.loads(file.read(int.from_bytes(start, "little")))
    try:
        classes = json.loads(header.get("__metadata__", {})["classes"])
    except (KeyError, ValueError, TypeError):
        return None
    return classes if isinstance(classes, list) and all(isinstance(name, str) for name in classes) else None


def _split(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Header and tensor bytes of a file."""
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    return json.loads(data[_LENGTH_BYTES:end]), memoryview(data)[end:]


def _checksum(header: Mapping[str, Any], content: memoryview) -> str:
    places = {name: entry for name, entry in header.items() if name != "__metadata__"}
    return f"{zlib.crc32(content, zlib.crc32(json.dumps(places, sort_keys=True).encode())):08x}"


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise UserInputError(
            f"{SAFETENSORS_SUFFIX} files need safetensors ({error}); run: pip install safetensors, or use a .pth file."
        ) from error
