"""Which transform of one image has a form for whole batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lt_plugins.augmentation.batched_transform import BatchedTransform
from lt_plugins.errors import UserInputError

Form = TypeVar("Form", bound=Callable[[Any], BatchedTransform])

_FORMS: dict[type, Callable[[Any], BatchedTransform]] = {}


def batched_form_of(*types: type) -> Callable[[Form], Form]:
    """Register a function that gives the batched form of transforms.

    Args:
        *types (type): Classes of transforms of one image. A subclass needs a form of its own: it may do something else.

    Examples:
        >>> @batched_form_of(ClippedCutout)
        ... def _cutout(transform: ClippedCutout) -> BatchedTransform:
        ...     return Cutout(transform.size, transform.pad_val, transform.prob)
    """

    def register(form: Form) -> Form:
        for kind in types:
            _FORMS[kind] = form
        return form

    return register


def batched_form(transform: Any) -> BatchedTransform:
    """Translate a transform of one image, with its settings, into the one of a batch that does the same.

    Args:
        transform (Any): A built transform of mmcv, mmpretrain or this package.

    Returns:
        BatchedTransform: The transform of a batch.

    Raises:
        UserInputError: If it has no batched form, or not with these settings.
    """
    form = _FORMS.get(type(transform))
    if form is None:
        known = ", ".join(sorted({kind.__name__ for kind in _FORMS}))
        raise UserInputError(
            f"the transform {type(transform).__name__} has no batched form, so the images cannot be augmented as a "
            f"resident dataset; use --no-resident, or one of {known}."
        )
    return form(transform)


def refuse_settings(transform: Any, **expected: Any) -> None:
    """Refuse settings of a transform that its batched form does not have.

    Args:
        transform (Any): The transform.
        **expected (Any): The values of its attributes that the form stands for.

    Raises:
        UserInputError: If an attribute has another value.
    """
    for name, value in expected.items():
        if getattr(transform, name) != value:
            raise UserInputError(
                f"{type(transform).__name__} has no batched form with {name}={getattr(transform, name)!r}; use "
                f"{name}={value!r}, or --no-resident."
            )
