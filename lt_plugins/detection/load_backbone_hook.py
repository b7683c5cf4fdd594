"""Backbone loading: copies the whole backbone of a classifier into a detector, or stops."""

from __future__ import annotations

from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from lt_plugins.checkpoints.backbone import RANDOM_BACKBONE, Backbone, read_backbone
from lt_plugins.checkpoints.checkpoint_fit import COUNTER, describe_misfits
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model


@HOOKS.register_module()
class LoadBackboneHook(Hook):
    """Backbone hook: loads the backbone of a classifier into a detector before training, and logs the match.

    In a C4 detector the stages of a ResNet lie in two places: stem to ``layer3`` in ``backbone``, ``layer4`` in
    ``roi_head.shared_head``. Both are filled. A run that is resumed, or that starts from a whole detector
    (``load_from``), has its weights already.

    Args:
        checkpoint (str, optional): A file as for :func:`.read_backbone`, or ``'random'`` to
            train from scratch. Training asks for one of both, so that no backbone is random by accident. Defaults to
            None, which is enough for a test.
        allow_pickle (bool): Run the pickle in the file, for files from a source you trust. Defaults to False.

    Config::

        custom_hooks = [dict(type='LoadBackboneHook', checkpoint='work_dirs/ce_r50_imagenet-lt/epoch_90.pth')]

    Raises:
        UserInputError: If no checkpoint is given, or a tensor of the backbone is not in it.
    """

    # Before what looks at the model.
    priority = "VERY_HIGH"

    def __init__(self, checkpoint: str | None = None, allow_pickle: bool = False) -> None:
        self.checkpoint = checkpoint
        self.allow_pickle = allow_pickle

    def before_train(self, runner: Runner) -> None:
        """Load the backbone, or raise the reason.

        Args:
            runner (Runner): The runner of the training process.
        """
        if runner._resume or runner._load_from:
            runner.logger.info(f"Backbone: as in {runner._load_from or 'the checkpoint that is resumed'}")
        elif self.checkpoint is None:
            raise UserInputError(
                "nothing initialises the backbone: give a checkpoint of a classifier with --backbone CKPT, or train "
                f"from scratch with --backbone {RANDOM_BACKBONE}."
            )
        elif self.checkpoint == RANDOM_BACKBONE:
            runner.logger.info("Backbone: random initialisation")
        else:
            backbone = read_backbone(self.checkpoint, self.allow_pickle)
            found = load_backbone(unwrap_model(runner.model), backbone, self.checkpoint)
            runner.logger.info(f"Backbone: {found}")


def load_backbone(detector: nn.Module, backbone: Backbone, source: str | Path) -> str:
    """Copy the weights of a backbone into a detector.

    Args:
        detector (nn.Module): A detector of mmdet with a ``backbone``, without wrappers.
        backbone (Backbone): The weights.
        source (str | Path): How to name them.

    Returns:
        str: How many tensors of the detector's backbone matched, and what of the file was not used.

    Raises:
        UserInputError: If not all of them are in the file with their shape; says how many are and the first that are
            not.
    """
    places = _places(detector)
    state_dict = detector.state_dict()
    expected = {name: tuple(state_dict[key].shape) for key, name in places.items() if not name.endswith(COUNTER)}
    found = {name: tuple(value.shape) for name, value in backbone.weights.items()}
    missing = [name for name, shape in expected.items() if found.get(name) != shape]
    if missing:
        raise UserInputError(
            f"only {len(expected) - len(missing)} of the {len(expected)} tensors of the detector's backbone are in "
            f"{source}, the rest would stay random; first missing: {describe_misfits(missing, expected, found)}; give "
            f"a checkpoint of the same backbone, or --backbone {RANDOM_BACKBONE}."
        )
    given = {key: backbone.weights[name] for key, name in places.items() if name in backbone.weights}
    detector.load_state_dict(given, strict=False)
    unused = sorted(backbone.weights.keys() - set(places.values()))
    parts = {part: sum(key.startswith(part) for key in given) for part in ("backbone", "roi_head.shared_head")}
    where = ", ".join(f"{count} in {part}" for part, count in parts.items() if count)
    return (
        f"{len(given)} of {len(places)} tensors matched in {source} ({where}); "
        f"{len(unused)} of the file not used{': ' + ', '.join(unused[:3]) if unused else ''}"
    )


def _places(detector: nn.Module) -> dict[str, str]:
    """Map names of tensors in the detector to their names in the backbone."""
    places = {key: key.removeprefix("backbone.") for key in detector.state_dict() if key.startswith("backbone.")}
    prefix = "roi_head.shared_head."
    # The stage itself; its extra normalisation is new.
    stage = [key for key in detector.state_dict() if key.startswith(f"{prefix}layer")]
    return places | {key: key.removeprefix(prefix) for key in stage}
