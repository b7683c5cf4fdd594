"""Frozen earlier networks that a classifier learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import NetworkOutputs


class Teachers(list[nn.Module]):
    """Frozen networks beside a model: in no ``state_dict``, optimiser or wrapper, and in no copy or pickle of it."""

    def __reduce__(self) -> tuple[type[Teachers], tuple[()]]:
        return Teachers, ()


class TaughtClassifier(ImageClassifier):
    """Base class of classifiers that learn from teachers: frozen earlier networks, in evaluation mode.

    It has no ``__init__`` and goes before other bases of a classifier. ``TeacherHook`` builds the teachers and fills
    them from their checkpoints before a training starts or resumes; testing neither builds nor reads them, and a
    checkpoint does not hold them. Its run record has their fingerprints, so that a run resumes with the very same ones.

    A teacher is named in the config as one of

    * ``dict(stage=1)``: the network of an earlier stage of the same config, as its last checkpoint has it;
    * ``dict(config='CONFIG.py[:VARIANT]', checkpoint='FILE or work dir')``: that of another run;
    * ``dict(model=dict(...), checkpoint='FILE')``: what the tools make of both.

    Attributes:
        teacher_cfgs (list[dict]): The teachers as the config names them.
        teachers (list[nn.Module]): The networks; empty until they are filled. Their parameters ask for no gradient, but
            pass one on to their input.
    """

    needs_hook: ClassVar[dict[str, Any]] = {"type": "TeacherHook"}
    teacher_cfgs: list[dict[str, Any]]
    teachers: Teachers

    def name_teachers(self, teachers: Sequence[dict[str, Any]]) -> None:
        """Note the teachers of the config; for ``__init__``.

        Args:
            teachers (Sequence[dict]): As above; none for a network that is itself a teacher or is tested.
        """
        self.teacher_cfgs = [dict(teacher) for teacher in teachers]
        self.teachers = Teachers()

    def set_teachers(self, teachers: Sequence[nn.Module]) -> None:
        """Take the networks to learn from, and freeze them.

        Args:
            teachers (Sequence[nn.Module]): Classifiers with the weights that they keep, in the order of the config.

        Raises:
            UserInputError: If :meth:`check_teacher` refuses one.
        """
        for number, teacher in enumerate(teachers):
            self.check_teacher(number, teacher)
        self.teachers = Teachers(teacher.eval().requires_grad_(False) for teacher in teachers)

    def check_teacher(self, number: int, teacher: Any) -> None:
        """Refuse a teacher that does not know the classes of this classifier, or sees other pixels.

        Args:
            number (int): Its place in the config, from 0.
            teacher (nn.Module): The classifier.

        Raises:
            UserInputError: If so.
        """
        own, other = (getattr(getattr(model, "head", None), "num_classes", None) for model in (self, teacher))
        if own != other:
            raise UserInputError(
                f"model.teachers.{number} has {other} classes, and the model that learns from it {own}; give it one "
                "that was trained on the same classes."
            )
        pixels, seen = (_normalisation(model) for model in (self, teacher))
        if pixels != seen:
            raise UserInputError(
                f"model.teachers.{number} takes images normalised by {_shown(seen)}, and the model that learns from it "
                f"by {_shown(pixels)}; give both the same data_preprocessor."
            )

    @torch.no_grad()
    def ask_teachers(self, images: Tensor) -> list[NetworkOutputs]:
        """Pass a batch through the teachers.

        Args:
            images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.

        Returns:
            list[NetworkOutputs]: Features and logits of each teacher, without gradient.

        Raises:
            UserInputError: If there are none.
        """
        return [classifier_outputs(teacher, images) for teacher in self.present_teachers()]

    def present_teachers(self) -> Teachers:
        """The networks to learn from.

        Raises:
            UserInputError: If there are none.
        """
        if not self.teachers:
            raise UserInputError(
                f"{type(self).__name__} learns from teachers, and has none; name them in the config, like "
                "model.teachers=[dict(stage=1)], or give networks to set_teachers()."
            )
        return self.teachers

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> TaughtClassifier:
        """Let the teachers follow to another device or type."""
        for teacher in self.teachers:
            teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)


def classifier_outputs(classifier: Any, images: Tensor) -> NetworkOutputs:
    """Features and logits of a classifier.

    Args:
        classifier (nn.Module): With ``extract_feat`` and a ``head`` that has ``pre_logits``, as mmpretrain's.
        images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.

    Returns:
        NetworkOutputs: Features ``(B, D)``, logits ``(B, C)``.
    """
    feats = classifier.extract_feat(images)
    return NetworkOutputs(classifier.head.pre_logits(feats), classifier.head(feats))


def loss_with_outputs(
    head: Any, feats: Any, data_samples: Sequence[DataSample]
) -> tuple[dict[str, Tensor], NetworkOutputs]:
    """Losses of a head, and the features and logits that they were computed from.

    Args:
        head (nn.Module): Classification head.
        feats (tuple[Tensor, ...]): What the head takes.
        data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

    Returns:
        tuple: Losses by name, and outputs. A head that computes its loss without logits computes them besides.
    """
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda module, inputs, logits: seen.append(logits))  # noqa: ARG005
    try:
        losses = head.loss(feats, data_samples)
    finally:
        handle.remove()
    return losses, NetworkOutputs(head.pre_logits(feats), seen[0] if seen else head(feats))


def _normalisation(model: Any) -> tuple[Any, ...] | None:
    """Mean and deviation of the pixels that a classifier takes, and whether they are RGB."""
    preprocessor = getattr(model, "data_preprocessor", None)
    values = (getattr(preprocessor, name, None) for name in ("mean", "std"))
    rounded = [None if value is None else [round(number, 3) for number in value.flatten().tolist()] for value in values]
    return (*rounded, bool(getattr(preprocessor, "to_rgb", False)))


def _shown(normalisation: tuple[Any, ...] | None) -> str:
    mean, std, to_rgb = normalisation or (None, None, False)
    return f"mean={mean}, std={std}, to_rgb={to_rgb}"
