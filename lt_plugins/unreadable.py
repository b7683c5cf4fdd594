"""Parse errors of foreign or damaged files as one line."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lt_plugins.errors import UserInputError

_MAX_REASON = 160


@contextmanager
def refuse_unreadable(path: str | Path, what: str, advice: str) -> Iterator[None]:
    """Convert every exception of parsing and checking a file to one line; the body does nothing else.

    Parsers raise what they like on bytes that they do not expect (``IndexError``, ``RecursionError``,
    ``UnicodeDecodeError``, ``MemoryError`` for a length of billions, ...), so no list of exceptions would be complete.

    Args:
        path (str | Path): The file.
        what (str): What it should be, with its article.
        advice (str): What to do about it.

    Raises:
        UserInputError: If the body raises. One of its own passes through.
    """
    try:
        yield
    except UserInputError:
        raise
    except Exception as error:
        raise UserInputError(f"{path} cannot be read as {what} ({describe(error)}); {advice}") from error


def describe(error: Exception) -> str:
    """Describe an exception in a few words, on one line.

    Args:
        error (Exception): The exception.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"it has no {error}"
    text = textwrap.shorten(str(error), _MAX_REASON, placeholder=" ...")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def require(holds: bool, message: str) -> None:
    """Require a property of a file's content, inside :func:`refuse_unreadable`.

    Args:
        holds (bool): Whether it has the property.
        message (str): What is wrong otherwise.

    Raises:
        ValueError: If it does not hold.
    """
    if not holds:
        raise ValueError(message)


def read_json(path: str | Path, advice: str) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path (str | Path): The file.
        advice (str): What to do if it cannot be read.

    Raises:
        UserInputError: If it is missing, no JSON, or holds something else.
    """
    return _read(path, json.loads, "a JSON object", advice)


def read_yaml(path: str | Path, advice: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping, of plain values only.

    Args:
        path (str | Path): The file.
        advice (str): What to do if it cannot be read.

    Raises:
        UserInputError: If it is missing, no YAML, or holds something else.
    """
    import yaml

    # The same in C, where PyYAML has it: metafiles in a tenth of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return _read(path, lambda text: yaml.load(text, loader), "a YAML mapping", advice)


def _read(path: str | Path, parse: Callable[[str], Any], what: str, advice: str) -> dict[str, Any]:
    with refuse_unreadable(path, what, advice):
        content = parse(Path(path).read_text(encoding="utf-8"))
        require(isinstance(content, dict), f"it holds a {type(content).__name__}")
    return content
