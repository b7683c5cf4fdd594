"""Published numbers of a row: those of a config, and of detectors those of a backbone's method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lt_plugins.errors import UserInputError
from lt_plugins.resources import CONFIGS
from lt_plugins.runs.metafile import published_results
from lt_plugins.runs.spec import parse_spec
from lt_plugins.runs.tables import DETECTION
from lt_plugins.unreadable import refuse_unreadable

# SBCL, Tab. 3: the detector whose published numbers stand beside every transfer table.
TRANSFER_CONFIG = "configs/detection/faster-rcnn_r50-c4_24k_voc0712.py"
PROTOCOLS = ("clt", "glt", "alt")
# Other names of methods.
ALIASES = {"supcon": "scl", "cl": "scl"}


def published_accuracy(config: str) -> str:
    """Overall accuracy in the metafile beside a config, of a GLT benchmark that of each protocol, and its source.

    Args:
        config (str): ``CONFIG.py[:VARIANT,...]``.

    Returns:
        str: Like ``83.1 (LCReg, Tab. 1)``, ``ALT 41.7 / 41.7 (IFL, Tab. 2)``, or ``-``.

    Raises:
        UserInputError: If the metafile is none, or its number is none.
    """
    parsed = parse_spec(config)
    file = Path(parsed.file)
    metafile, own = file.with_name("metafile.yml"), (file.name, parsed.variants)
    if not metafile.is_file():
        return "-"
    listed = [(parse_spec(name), numbers) for name, numbers in published_results(metafile)]
    found = [numbers for spec, numbers in listed if (Path(spec.path).name, spec.variants) == own]
    if not found:
        return "-"
    if any(protocol in found[0] for protocol in PROTOCOLS):
        with refuse_unreadable(metafile, "a metafile", "correct it (CONTRIBUTING.md), or remove it."):
            return f"{published_protocols(found[0])} ({found[0]['source']})"
    overall = found[0].get("overall")
    if not isinstance(overall, int | float):
        raise UserInputError(f"{metafile}: Published of {config} has overall={overall!r}, expected a number.")
    return f"{overall:.1f} ({found[0]['source']})"


def published_protocols(numbers: Mapping[str, Any]) -> str:
    """Published accuracy and precision of the protocols of a GLT benchmark.

    Args:
        numbers (Mapping[str, Any]): ``[accuracy, precision]`` in percent by ``clt``, ``glt`` and ``alt``, of which some
            may be missing.

    Returns:
        str: Like ``CLT 42.5 / 47.9, GLT 34.8 / 40.7``.
    """
    known = {protocol: numbers[protocol] for protocol in PROTOCOLS if protocol in numbers}
    return ", ".join(
        f"{name.upper()} {accuracy:.1f} / {precision:.1f}" for name, (accuracy, precision) in known.items()
    )


def published_transfer() -> dict[str, Any]:
    """Published average precisions by method, of :data:`TRANSFER_CONFIG`."""
    found = published_results((CONFIGS.parent / TRANSFER_CONFIG).with_name("metafile.yml"))
    return next(numbers for config, numbers in found if config == TRANSFER_CONFIG)


def transfer_cell(backbone: str, published: Mapping[str, Any]) -> str:
    """Published numbers of the method that a backbone was trained with.

    Args:
        backbone (str): Its name; that of a method may be followed by ``_``, as in ``sbcl_r50_imagenet-lt``.
        published (Mapping[str, Any]): ``AP50``, ``AP`` and ``AP75`` in percent by the name of the method.

    Returns:
        str: Like ``78.2 / 51.5 / 56.5``, or ``-``.
    """
    numbers = published.get(method_of(backbone))
    return " / ".join(f"{numbers[name]:.1f}" for name in DETECTION) if numbers else "-"


def method_of(backbone: str) -> str:
    """Method in the name of a backbone.

    Args:
        backbone (str): Like ``supcon`` or ``sbcl_r50_imagenet-lt_stage1``.

    Returns:
        str: Like ``scl`` or ``sbcl``.
    """
    method = backbone.lower().partition("_")[0]
    return ALIASES.get(method, method)
