"""Pretrained weights of a run, ``--pretrained FILE``: into the backbone of any classifier, with their normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from torch import Tensor

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checkpoints.checkpoint_fit import describe_misfits
from lt_plugins.checkpoints.pretrained_weights import MatchedWeights, match_weights
from lt_plugins.checkpoints.weight_naming import CLIP
from lt_plugins.checkpoints.weights_origin import Normalisation, find_origin
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model

PREPROCESSOR = "data_preprocessor"
NEEDED = "needed"
"""``pretrained`` of a recipe that starts from weights, and has none by itself."""


def set_pretrained(cfg: Config, keep_normalisation: bool) -> None:
    """Let the backbone of a config begin with the weights that its ``pretrained`` names.

    Args:
        cfg (Config): A config before its stages are derived, with ``pretrained = FILE``; changed in place.
        keep_normalisation (bool): Whether the user has chosen the normalisation of the images.

    Raises:
        UserInputError: If it has no classifier with a backbone.
    """
    source = cfg.pretrained
    if isinstance(source, dict) or source == NEEDED:  # of a config that was written into a work dir
        return
    backbone = (cfg.get("model") or {}).get("backbone")
    if not isinstance(source, str) or not source:
        raise UserInputError(f"pretrained={source!r:.100} must be a file of weights, .pth or .safetensors.")
    if not isinstance(backbone, dict) or cfg.get("default_scope") == "mmdet":
        raise UserInputError(
            f"--pretrained {source}: {cfg.filename} has no classifier with a backbone; a detector takes --backbone."
        )
    backbone["init_cfg"] = {"type": "Pretrained", "checkpoint": source}
    cfg.pretrained = {"checkpoint": source, "keep_normalisation": keep_normalisation}
    cfg.pretrained_on = None  # of other weights


def prepare_pretrained(configs: Sequence[Config], allow_pickle: bool = False) -> list[str]:
    """Match the weights of ``pretrained`` to the backbone before the first stage trains, and normalise as they want.

    Args:
        configs (Sequence[Config]): The configs of all stages, in order; ``pretrained_on`` and the normalisation of the
            images are set in each.
        allow_pickle (bool): As for :func:`~lt_plugins.checkpoints.checkpoint.load_checkpoint`. Defaults to False.

    Returns:
        list[str]: Lines for the user: naming scheme and tensors found; normalisation. Empty without such weights.

    Raises:
        UserInputError: If tensors of the backbone are missing, or the file is of a larger network.
    """
    first = configs[0]
    if first.get("pretrained") == NEEDED:
        raise UserInputError(
            f"{first.filename} starts from weights in a file; give it with --pretrained FILE, of torchvision, timm or "
            "mmpretrain (where to get one: docs/finetuning.md)."
        )
    init_cfgs = [_pretrained_init(cfg) for cfg in configs]
    # Where the last stage that begins anew does so.
    init_cfg = next((found for found in reversed(init_cfgs) if found is not None), None)
    if init_cfg is None:
        return []
    source, asked = init_cfg["checkpoint"], first.get("pretrained")
    if not isinstance(asked, dict):
        if all(cfg.get("pretrained_on") for cfg in configs):
            return []  # the recipe says it
        labels = _known_labels(source)
        for cfg in configs:
            cfg.pretrained_on = cfg.get("pretrained_on") or labels
        return []
    checkpoint = load_checkpoint(source, allow_pickle=allow_pickle)
    tensors = {k: v for k, v in checkpoint.get("state_dict", checkpoint).items() if isinstance(v, Tensor)}
    model: Any = build_model(first)
    matched = match_weights(model.backbone, tensors)
    _check_match(model.backbone, matched, source, tensors)
    origin = find_origin(source, checkpoint, matched)
    for cfg in configs:
        cfg.pretrained_on = origin.labels
    lines = [f"--pretrained {source}: {matched.describe()}; they have seen {origin.labels}"]
    lines += _warn_activation(model.backbone, matched)
    return [*lines, _normalise(configs, origin.normalisation, asked["keep_normalisation"], matched.label)]


def _pretrained_init(cfg: Config) -> dict[str, Any] | None:
    """The initialisation of a stage's backbone from a file, if it has one."""
    backbone = (cfg.get("model") or {}).get("backbone")
    given = backbone.get("init_cfg") if isinstance(backbone, dict) else None
    for init_cfg in given if isinstance(given, (list, tuple)) else [given]:
        if isinstance(init_cfg, dict) and init_cfg.get("type") == "Pretrained":
            return init_cfg
    return None


def _known_labels(source: str) -> str:
    """Labels that the weights of a config's ``init_cfg`` have seen, by their address or name alone."""
    return find_origin(source, {}, MatchedWeights("mmpretrain naming", {}, 0, 0, (), None)).labels


def _check_match(backbone: Any, matched: MatchedWeights, source: str, tensors: dict[str, Tensor]) -> None:
    name = type(backbone).__name__
    start = f"--pretrained {source} does not fit the backbone {name}"
    advice = "give weights of this network, or take the file's: --cfg-options net=NAME (docs/finetuning.md)"
    if matched.found == 0:
        first = ", ".join([*tensors][:2])
        raise UserInputError(f"{start}: it holds {matched.label} ({first}, ...); {advice}.")
    if matched.found < matched.expected:
        shapes = [
            {key: tuple(value.shape) for key, value in part.items()} for part in (_own(backbone), matched.weights)
        ]
        missing = [key for key, shape in shapes[0].items() if shapes[1].get(key) != shape]
        raise UserInputError(f"{start}: {matched.describe()}; {describe_misfits(missing, *shapes)}; {advice}.")
    if matched.homeless:
        what = "it is of a larger network, or one with other layers"
        if matched.label.startswith(CLIP) and any(key.startswith("pre_norm") for key in matched.homeless):
            what = "the transformer of CLIP needs pre_norm=True, norm_cfg=dict(type='LN', eps=1e-5) and QuickGELU"
        raise UserInputError(f"{start}: {matched.describe()}, but {matched.describe_homeless()}; {what}: {advice}.")


def _own(backbone: Any) -> dict[str, Tensor]:
    return {key: value for key, value in backbone.state_dict().items() if not key.endswith("num_batches_tracked")}


def _warn_activation(backbone: Any, matched: MatchedWeights) -> list[str]:
    """CLIP's own weights were trained with another activation than most transformers, which no tensor shows."""
    if not matched.label.startswith(CLIP) or any(type(m).__name__ == "QuickGELU" for m in backbone.modules()):
        return []
    return ["warning: OpenAI's CLIP was trained with QuickGELU, and this backbone has another activation."]


def _normalise(configs: Sequence[Config], wanted: Normalisation | None, keep: bool, label: str) -> str:
    """Set the normalisation that weights want, and say so in a line."""
    current = _normalisation(configs[0])
    shown = "no normalisation" if current is None else f"mean {_round(current.mean)}, std {_round(current.std)}"
    if wanted is None:
        hint = " (timm's transformers want 127.5 for both, or ImageNet's)" if label.startswith("timm") else ""
        return f"normalisation: {shown}, of the config; the file does not say what it wants{hint}: compare them"
    if current is not None and _is_close(current, wanted):
        return f"normalisation: {wanted.name}, as the weights want"
    if keep:
        return f"warning: normalisation: {shown}, as you gave; the weights want {_words(wanted)}"
    for cfg in configs:
        owner = cfg.model if PREPROCESSOR in (cfg.get("model") or {}) else cfg
        if owner.get(PREPROCESSOR) is None:
            owner[PREPROCESSOR] = {}
        owner[PREPROCESSOR].update(mean=list(wanted.mean), std=list(wanted.std), to_rgb=True)
    return f"normalisation: {_words(wanted)}, as the weights want (the config had {shown}); testing follows"


def _normalisation(cfg: Config) -> Normalisation | None:
    given = (cfg.get("model") or {}).get(PREPROCESSOR) or cfg.get(PREPROCESSOR) or {}
    mean, std = given.get("mean"), given.get("std")
    return None if mean is None or std is None else Normalisation("the config's", tuple(mean), tuple(std))


def _is_close(one: Normalisation, other: Normalisation) -> bool:
    pairs = zip((*one.mean, *one.std), (*other.mean, *other.std), strict=False)
    return len(one.mean) == len(other.mean) and all(abs(a - b) < 0.05 for a, b in pairs)


def _words(normalisation: Normalisation) -> str:
    return f"{normalisation.name} (mean {_round(normalisation.mean)}, std {_round(normalisation.std)})"


def _round(values: Sequence[float]) -> str:
    return "/".join(f"{value:.4g}" for value in values)
