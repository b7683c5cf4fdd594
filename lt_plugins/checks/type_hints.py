"""Values of a config against the type hints of the code."""

from __future__ import annotations

import types
from collections.abc import Callable as AbstractCallable
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
from torch import Tensor

NoneType = type(None)
NUMBERS = (Tensor, np.ndarray)  # stand beside float in hints; a config has none
TEXT = (str, PurePath)


def admits(hint: Any, value: Any, strict: bool = True) -> bool:
    """Whether a value of a config is of the type that a hint asks for.

    ``bool`` is no number and a string no sequence, as opposed to Python's own view; an ``int`` is a ``float``, NaN is
    not. What a config holds as a dict may be any object, since components are built from dicts.

    Args:
        hint (Any): The hint, evaluated.
        value (Any): The value.
        strict (bool): Whether hints are exact. If not, as in other packages, only those of plain numbers and flags
            count, and are taken as any number or several. Defaults to True.
    """
    if not strict:
        if not _is_numeric(hint):
            return True
        numbers = value if isinstance(value, (list, tuple)) else [value]
        return all(admits(float, number) for number in numbers) or admits(hint, value)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(admits(option, value) for option in inner)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in inner)
    kind = origin or hint
    if not isinstance(kind, type) or kind is object:
        return True  # Any, a type variable, a string
    if kind is NoneType:
        return value is None
    if kind is bool:
        return isinstance(value, (bool, np.bool_))
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and value == value
    if issubclass(kind, TEXT):
        return isinstance(value, TEXT)
    if kind in NUMBERS:
        return isinstance(value, kind)
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return isinstance(value, (list, tuple)) and len(value) == len(inner) and all(map(admits, inner, value))
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    if issubclass(kind, Iterable) and kind.__module__ in ("builtins", "collections.abc", "typing"):
        elements = (item for item in inner if item is not Ellipsis)
        element = next(elements, Any)
        return isinstance(value, (list, tuple, set, range, np.ndarray)) and all(admits(element, item) for item in value)
    if issubclass(kind, (type, AbstractCallable)):  # type: ignore[arg-type]
        return True
    return not isinstance(value, (bool, int, float, str)) and value is not None


def describe_hint(hint: Any) -> str:
    """A hint in words, for a message.

    Args:
        hint (Any): The hint, evaluated.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        names = list(dict.fromkeys(describe_hint(option) for option in inner if option not in NUMBERS))
        return " or ".join(names)
    if origin is Literal:
        return "one of " + ", ".join(repr(option) for option in inner)
    kind = origin or hint
    words = {
        bool: "True or False",
        int: "a whole number",
        float: "a number",
        str: "a text",
        NoneType: "None",
        dict: "a dict",
        Mapping: "a dict",
    }
    if kind in words:
        return words[kind]
    if isinstance(kind, type) and issubclass(kind, Sequence):
        element = next((item for item in inner if item is not Ellipsis), Any)
        fixed = kind is tuple and inner and inner[-1] is not Ellipsis
        what = "" if element is Any else f", each {describe_hint(element)}"
        return f"a list{f' of {len(inner)}' if fixed else ''}{what}"
    return getattr(kind, "__name__", str(kind))


def _is_numeric(hint: Any) -> bool:
    """Whether nothing but a number, a flag or None fits."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return all(_is_numeric(option) for option in inner) and not all(option is NoneType for option in inner)
    return hint in (bool, int, float, NoneType, *NUMBERS)
