"""M2m: a classifier that turns images of frequent classes into ones of rare classes, by an earlier network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.aux_loss_classifier import AuxLossClassifier
from lt_plugins.models.classifiers.major_to_minor import descend, draw_seeds, perturb
from lt_plugins.models.classifiers.taught_classifier import TaughtClassifier
from lt_plugins.models.evaluation_mode import evaluation_mode
from lt_plugins.models.heads import CosineClsHead
from lt_plugins.models.structures import ClassDistribution, FollowsSteps, LabelBatch
from lt_plugins.registry import MODELS


class Translations(NamedTuple):
    """Translations of a batch of ``B`` images.

    Args:
        images (Tensor): The batch with the accepted translations in it, preprocessed, shape ``(B, 3, H, W)``.
        tried (Tensor): Which images a translation was tried for, bool ``(B,)``.
        accepted (Tensor): Which ones were replaced, bool ``(B,)``.
        seeds (Tensor): Position of the image that each translation started from, int64 ``(B,)``.
        candidates (Tensor): All translations, preprocessed; those that were not tried mean nothing.
    """

    images: Tensor
    tried: Tensor
    accepted: Tensor
    seeds: Tensor
    candidates: Tensor


@MODELS.register_module()
class M2mClassifier(FollowsSteps, TaughtClassifier, AuxLossClassifier):
    r"""Major-to-minor translation (M2m): trains on images of frequent classes, turned into ones of rare classes.

    From the epoch ``translate_from`` on an image of class ``k`` is kept with probability :math:`n_k / n_1`, where
    :math:`n_1` is the largest class. Otherwise another image of the batch is drawn as seed, of class :math:`k_0` in
    proportion to :math:`1 - \beta^{(n_{k_0} - n_k)^+}`, and moved by ``num_steps`` normalised gradient steps, from a
    random start near by, to lower

    .. math::
        \mathrm{CE}(g(x), k) + \lambda f_{k_0}(x).

    ``g`` is the teacher, an earlier network; ``f`` this classifier, whose logits are those before the scale of a
    :class:`.CosineClsHead`, as released. The result takes the place of the image if the teacher's probability of
    ``k`` is ``gamma`` or more, and with probability :math:`1 - \beta^{(n_{k_0} - n_k)^+}`; else the image stays. Seeds
    are of the batch of a process. In this time images are to come class-balanced (``DeferredSampler``).

    Steps are taken in ``[0, 1]``, and both networks see normalised images, are in evaluation mode, and compute in full
    precision; running statistics do not move. The whole batch is translated and what is not wanted is left out: which
    images these are is known to the device alone, and no step waits for it. The log has the shares of the batch that
    were tried (``translated``) and replaced (``accepted``). Random numbers come from torch's generator of the device.
    Both passes of a step of ``SAMOptimWrapper`` have the same translations.

    Source: Kim et al., "M2m: Imbalanced Classification via Major-to-minor Translation" (CVPR 2020) and its released
    code.

    Args:
        backbone (dict): Config of the backbone.
        head (dict): Config of the head; the paper's M2m-LDAM is a ``CosineClsHead`` with ``LDAMLoss``.
        teachers (list[dict]): One teacher, see :class:`.TaughtClassifier`; ``[]`` for testing alone.
        neck (dict, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        translate_from (int): First epoch of the translation, from 0; 160 of 200 on CIFAR. Defaults to 0.
        beta (float): :math:`\beta`, from 0 to below 1. Defaults to 0.999.
        lam (float): :math:`\lambda`, 0 or more. Defaults to 0.5.
        gamma (float): Probability of the teacher from which a translation is accepted; with more than 1 none is. The
            released code has 0.9 in its command for CIFAR-10-LT and 0.99 as default. Defaults to 0.9.
        num_steps (int): Number of gradient steps, 0 or more. Defaults to 10.
        step_size (float): l2 length of a step on pixels in ``[0, 1]``. Defaults to 0.1.
        noise_norm (float): Largest l2 norm of the noise at the start. Defaults to 0.5.
        aux_losses (dict, optional): As for :class:`.AuxLossClassifier`. Defaults to none.
        num_environments (int): As for :class:`.AuxLossClassifier`. Defaults to 1.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`, without ``batch_augments``.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If a setting is out of range, or there is more than one teacher; in training, if there is none.

    Examples:
        >>> stage2 = dict(from_scratch=True, model=dict(
        ...     type='M2mClassifier', teachers=[dict(stage=1)], translate_from=160))
    """

    needs_one_label = True

    def __init__(
        self,
        backbone: dict,
        head: dict,
        teachers: list[dict],
        neck: dict | list | None = None,
        translate_from: int = 0,
        beta: float = 0.999,
        lam: float = 0.5,
        gamma: float = 0.9,
        num_steps: int = 10,
        step_size: float = 0.1,
        noise_norm: float = 0.5,
        aux_losses: dict | None = None,
        num_environments: int = 1,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            aux_losses=aux_losses or {},
            neck={"type": "GlobalAveragePooling"} if neck is None else neck,
            head=head,
            num_environments=num_environments,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        numbers = {"translate_from": translate_from, "lam": lam, "gamma": gamma, "num_steps": num_steps}
        for name, value in {**numbers, "step_size": step_size, "noise_norm": noise_norm}.items():
            if not value >= 0:
                raise UserInputError(f"{name}={value} of M2mClassifier must be 0 or more.")
        if not 0 <= beta < 1:
            raise UserInputError(f"beta={beta} must be in [0, 1), like 0.999.")
        if len(teachers) > 1:
            raise UserInputError(
                f"model.teachers names {len(teachers)} networks, and M2mClassifier translates images by one; leave "
                "one, like [dict(stage=1)]."
            )
        self.name_teachers(teachers)
        self.translate_from = translate_from
        self.beta = beta
        self.lam = lam
        self.gamma = gamma
        self.num_steps = num_steps
        self.step_size = step_size
        self.noise_norm = noise_norm
        self.class_distribution = ClassDistribution(self.head.num_classes)
        self.translates = translate_from == 0
        self._first_pass: tuple[Tensor, dict[str, Tensor]] | None = None

    def set_epoch(self, epoch: int, max_epochs: int) -> str:  # noqa: ARG002 (others follow its share)
        """Translate from the epoch ``translate_from`` on; call it before each epoch (``EpochHook`` does).

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str: Whether images are translated, for the log.
        """
        self.translates = epoch >= self.translate_from
        return "images of frequent classes turned into rare ones" if self.translates else "images as they are"

    def loss(self, inputs: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch, in which translations have taken the place of some images.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images, one label each.

        Returns:
            dict[str, Tensor]: As of :class:`.AuxLossClassifier`; while it translates also ``translated`` and
            ``accepted``, shares of the batch.

        Raises:
            UserInputError: If there is no teacher, an image has not exactly one label, or class counts are unknown.
        """
        if not self.translates:
            return super().loss(inputs, data_samples)
        kept = self._first_pass if self.repeats_batch else None
        images, shares = kept or self._translate_step(inputs, data_samples)
        self._first_pass = None if self.ends_step else (images, shares)
        return {**super().loss(images, data_samples), **shares}

    def _translate_step(self, inputs: Tensor, data_samples: Sequence[DataSample]) -> tuple[Tensor, dict[str, Tensor]]:
        """The images that a step trains on, and the shares of them for the log."""
        found = self.translate(inputs, LabelBatch.from_samples(data_samples, inputs.device).one_label_each)
        return found.images, {"translated": found.tried.float().mean(), "accepted": found.accepted.float().mean()}

    def translate(self, images: Tensor, labels: Tensor) -> Translations:
        """Translate a batch.

        Args:
            images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            labels (Tensor): Their classes, int64 ``(B,)``.

        Returns:
            Translations: No gradient flows through what was translated, one flows to the images that stay.

        Raises:
            UserInputError: If there is no teacher, or the class counts are unknown.
        """
        teacher: Any = self.present_teachers()[0]
        all_counts = self.class_distribution.filled_counts()
        counts = all_counts[labels]
        draws = torch.rand(3, len(labels), dtype=torch.float64, device=images.device)
        seeds, chances = draw_seeds(counts, self.beta, draws[1])
        tried = (draws[0] >= counts / all_counts.max()) & (chances > 0)
        seed_labels = labels[seeds]

        def objective(pixels: Tensor) -> Tensor:
            normalised = self._normalise(pixels)
            away = self._raw_logits(normalised).gather(1, seed_labels[:, None])[:, 0]
            return F.cross_entropy(_logits(teacher, normalised), labels, reduction="none") + self.lam * away

        # Gradients of half precision vanish where the teacher is sure, and what counts is their direction.
        with evaluation_mode(self), torch.autocast(images.device.type, enabled=False):
            pixels = perturb(self.pixels(images.detach())[seeds], self.noise_norm)
            pixels = descend(pixels, objective, self.num_steps, self.step_size)
            candidates = self._normalise(pixels)
            with torch.no_grad():
                sure = _logits(teacher, candidates).softmax(dim=1).gather(1, labels[:, None])[:, 0]
        accepted = tried & (sure >= self.gamma) & (draws[2] < chances)
        mixed = torch.where(accepted[:, None, None, None], candidates.to(images.dtype), images)
        return Translations(mixed, tried, accepted, seeds, candidates)

    def pixels(self, images: Tensor) -> Tensor:
        """Preprocessed images as ones in ``[0, 1]``, in single precision or a finer one.

        Args:
            images (Tensor): Shape ``(B, 3, H, W)``.
        """
        mean, std = self._statistics()
        return ((images.to(torch.promote_types(images.dtype, torch.float32)) * std + mean) / 255).clamp(0, 1)

    def _normalise(self, pixels: Tensor) -> Tensor:
        """Images in ``[0, 1]`` as the data preprocessor gives them."""
        mean, std = self._statistics()
        return (255 * pixels - mean) / std

    def _statistics(self) -> tuple[Tensor | float, Tensor | float]:
        """Mean and standard deviation of the data preprocessor, of pixels up to 255."""
        preprocessor: Any = self.data_preprocessor
        return getattr(preprocessor, "mean", 0.0), getattr(preprocessor, "std", 1.0)

    def _raw_logits(self, images: Tensor) -> Tensor:
        """Logits of this classifier, ``(B, C)``; of a :class:`.CosineClsHead` the cosines."""
        logits = _logits(self, images)
        return logits / self.head.scale if isinstance(self.head, CosineClsHead) else logits


def _logits(classifier: Any, images: Tensor) -> Tensor:
    """Logits of a classifier, ``(B, C)``, of preprocessed images."""
    logits: Tensor = classifier.head(classifier.extract_feat(images))
    return logits
