"""Page of the translations of an M2m model: images of frequent classes that its teacher takes for rare ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.analysis.figures import AttributeRow, MarkedImage, draw_attribute_grid
from lt_plugins.analysis.gallery import ImageGallery
from lt_plugins.analysis.page import AnalysisPage, describe_origin
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset, load_weights
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import M2mClassifier
from lt_plugins.visualization import FigurePage

NUM_IMAGES = 128
NOTE = (
    "A batch of {images} training images, class-balanced and without augmentation, as the training translates it from "
    "epoch {start} on. Of {tried} translations {sure} reach a confidence of the teacher of {gamma:g} (gamma), and "
    "{accepted} of these are drawn to take the place of an image."
)
ROW_NOTE = (
    "From left to right: the seed, an image of a frequent class; its translation to the class named on the left; their "
    "difference, times {gain:.2g}, where grey is no change. Below is the confidence of the teacher in that class."
)


class Batch(NamedTuple):
    """Translations of a batch of ``B`` images that are to be shown, on the CPU.

    Args:
        classes (Tensor): Class that each was translated to, int64 ``(B,)``.
        seed_classes (Tensor): Class of the image that it started from, int64 ``(B,)``.
        seeds (Tensor): That image, in ``[0, 1]``, ``(B, 3, H, W)``.
        translations (Tensor): What became of it, in ``[0, 1]``, ``(B, 3, H, W)``.
        teacher (Tensor): Confidence of the teacher in the class, of the seed and of the translation, ``(B, 2)``.
        own (Tensor): Confidence of the model in the class of the seed, of both, ``(B, 2)``.
        tried (Tensor): Whether it was wanted, bool ``(B,)``.
        accepted (Tensor): Whether it took the place of an image, bool ``(B,)``.
    """

    classes: Tensor
    seed_classes: Tensor
    seeds: Tensor
    translations: Tensor
    teacher: Tensor
    own: Tensor
    tried: Tensor
    accepted: Tensor


class TranslationPage(AnalysisPage):
    """Page of an :class:`M2mClassifier`."""

    name = "translations"
    title = "Translations"
    needs = "M2mClassifier (configs/m2m)"
    defaults = {"top": 6, "seed": 0}

    @staticmethod
    def fits(model: Any, cfg: Config) -> bool:  # noqa: ARG004 (its parts tell)
        """Whether a model translates images."""
        return isinstance(model, M2mClassifier)

    def check_options(self) -> None:
        """Refuse a number of translations that is not positive, and seeds that are out of range.

        Raises:
            UserInputError: If there is one.
        """
        if self.options.top < 1:
            raise UserInputError(f"--top {self.options.top} must be 1 or more.")
        if not 0 <= self.options.seed < 2**32:
            raise UserInputError(f"--seed {self.options.seed} must be from 0 to {2**32 - 1}.")

    def write(self, cfg: Config, trained: TrainedModel, run: str, out_dir: Path | None = None) -> str:
        """Write the page, see :meth:`AnalysisPage.write`."""
        model = trained.model
        dataset = build_plain_dataset(cfg, "train", trained)
        model.set_teachers([load_teacher(cfg, trained)])
        page = self.open(trained, run, out_dir)
        gallery = ImageGallery(model, dataset, (1, 1))
        batch = translate_images(model, dataset, torch.from_numpy(gallery.labels), self.options.seed)
        sure = batch.tried & (batch.teacher[:, 1] >= model.gamma)
        page.add_text(f"{describe_origin(trained)}.")
        counted = {"tried": batch.tried, "sure": sure, "accepted": batch.accepted}
        page.add_text(
            NOTE.format(
                images=len(batch.classes),
                start=model.translate_from + 1,
                gamma=model.gamma,
                **{name: int(chosen.sum()) for name, chosen in counted.items()},
            )
        )
        add_translations(page, gallery, batch, "accepted", batch.accepted, self.options.top, model)
        add_translations(page, gallery, batch, "refused", batch.tried & ~batch.accepted, self.options.top, model)
        return page.finish()


def load_teacher(cfg: Config, trained: TrainedModel) -> Any:
    """The teacher of a model, from its checkpoint: that of the earlier stage of the run, or the one that is named.

    Args:
        cfg (Config): The config.
        trained (TrainedModel): The model, in the work dir of its run.

    Raises:
        UserInputError: If the config names none, or its checkpoint is not there or does not fit.
    """
    teachers = cfg.model.get("teachers")
    if not teachers:
        raise UserInputError("model.teachers is empty; translations need the teacher, like [dict(stage=1)].")
    teacher = teachers[0]
    source = teacher.get("checkpoint") or trained.checkpoint.parent / f"stage{teacher['stage']}"
    device = str(next(trained.model.parameters()).device)
    return load_weights(cfg, MODELS.build(teacher["model"]), source, device).model


def translate_images(model: M2mClassifier, dataset: Any, labels: Tensor, seed: int) -> Batch:
    """Translate a class-balanced batch of a dataset.

    Args:
        model (M2mClassifier): The model, in evaluation mode, with its teacher.
        dataset (Dataset): Training images, without augmentation.
        labels (Tensor): Their classes, int64 ``(N,)``.
        seed (int): Seed of the batch and of the translation.
    """
    present = labels.unique()
    device = next(model.parameters()).device
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        drawn = present[torch.randint(len(present), (NUM_IMAGES,))]
        members = [(labels == label).nonzero().flatten() for label in drawn]
        places = [int(own[torch.randint(len(own), ())]) for own in members]
        images = torch.stack([dataset[place]["inputs"] for place in places])
        preprocess: Any = model.data_preprocessor
        inputs = preprocess({"inputs": images, "data_samples": None}, training=False)["inputs"]
        classes = drawn.to(device)
        found = model.translate(inputs, classes)
    seed_classes, seeds = classes[found.seeds], inputs[found.seeds]
    teacher: Any = model.teachers[0]
    with torch.no_grad():
        trusted, own = (
            torch.stack([confidence(network, views, wanted) for views in (seeds, found.candidates)], dim=1)
            for network, wanted in ((teacher, classes), (model, seed_classes))
        )
        pixels = model.pixels(seeds), model.pixels(found.candidates)
    parts = (classes, seed_classes, *pixels, trusted, own, found.tried, found.accepted)
    return Batch(*(part.cpu() for part in parts))


def confidence(classifier: Any, images: Tensor, classes: Tensor) -> Tensor:
    """Probability that a classifier gives to a class of each image, ``(B,)``.

    Args:
        classifier (nn.Module): The classifier, in evaluation mode.
        images (Tensor): Preprocessed images, ``(B, 3, H, W)``.
        classes (Tensor): The classes, int64 ``(B,)``.
    """
    logits: Tensor = classifier.head(classifier.extract_feat(images))
    return logits.float().softmax(dim=1).gather(1, classes[:, None])[:, 0]


def add_translations(
    page: FigurePage, gallery: ImageGallery, batch: Batch, name: str, chosen: Tensor, number: int, model: Any
) -> None:
    """Add the translations of which the teacher is surest.

    Args:
        page (FigurePage): Where.
        gallery (ImageGallery): Names and groups of the classes.
        batch (Batch): The translations.
        name (str): What is chosen: ``"accepted"`` or ``"refused"``.
        chosen (Tensor): Which ones, bool ``(B,)``.
        number (int): How many at most.
        model (M2mClassifier): The model, which knows the order of its colours.
    """
    page.add_heading(f"Translations that are {name}")
    order = batch.teacher[:, 1].masked_fill(~chosen, -1).argsort(descending=True, stable=True)
    places = order[: int(chosen.sum())][:number].tolist()
    if not places:
        page.add_text("None in this batch.")
        return
    difference = batch.translations - batch.seeds
    gain = 0.5 / max(float(difference[places].abs().max()), 1e-6)
    page.add_text(ROW_NOTE.format(gain=gain))
    is_rgb = bool(getattr(model.data_preprocessor, "to_rgb", False))
    rows, table = [], []
    for place in places:
        label, source = int(batch.classes[place]), int(batch.seed_classes[place])
        shown = (batch.seeds[place], batch.translations[place], 0.5 + gain * difference[place])
        titles = (gallery.class_title(source), f"as {gallery.class_names[label]}", "difference")
        groups = (gallery.group(source), gallery.group(label), None)
        scores = (*batch.teacher[place].tolist(), None)
        images = [
            MarkedImage(to_rgb_picture(image, is_rgb), None, gallery.grid, title, group, score)
            for image, title, group, score in zip(shown, titles, groups, scores, strict=True)
        ]
        rows.append(AttributeRow(f"to {gallery.class_title(label)}", images))
        moved = f"{gallery.class_names[source]} to {gallery.class_names[label]}"
        norm = float(difference[place].norm())
        table.append([moved, *batch.teacher[place].tolist(), *batch.own[place].tolist(), norm])
    page.add_png(name, draw_attribute_grid(rows), f"Seed, translation and difference of translations that are {name}")
    header = ["teacher, of the seed", "of the translation", "model in the seed's class", "after", "l2 distance"]
    page.add_table(["from, to", *header], table)


def to_rgb_picture(image: Tensor, is_rgb: bool) -> NDArray[np.uint8]:
    """Picture of an image in ``[0, 1]``, RGB ``(H, W, 3)``.

    Args:
        image (Tensor): Shape ``(3, H, W)``.
        is_rgb (bool): Whether its channels are RGB; else BGR.
    """
    pixels = (255 * image.clamp(0, 1)).round().byte().permute(1, 2, 0)
    return np.ascontiguousarray((pixels if is_rgb else pixels.flip(2)).numpy())
