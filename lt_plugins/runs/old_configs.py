"""Config files of version 0.1: maps their paths to variants and options of today."""

from __future__ import annotations

import re
from pathlib import Path

# How many times a short schedule was shorter than the full one, or as short as --shorten allows.
_TIMES_SHORTER = {
    ("ce", 20): 10,
    ("ce", 2): 9,
    ("paco", 20): 20,
    ("lpa", 20): 20,
    ("mislas", 10): 20,
    ("lcreg", 10): 20,
    ("scl", 10): 100,
    ("kcl", 10): 100,
    ("sbcl", 10): 100,
    ("scl", 2): 20,
    ("sbcl", 2): 20,
}
_BASES = {
    "cifar10-lt100": "cifar10-lt.py",
    "cifar10-lt50": "cifar10-lt.py:lt50",
    "cifar10-lt10": "cifar10-lt.py:lt10",
    "cifar100-lt100": "cifar100-lt.py",
    "cifar100-lt50": "cifar100-lt.py:lt50",
    "cifar100-lt10": "cifar100-lt.py:lt10",
    "places-lt_256": "places-lt.py:standard",
}
_BASE = re.compile(rf"(?P<start>(?:.*/)?_base_/datasets/)(?P<name>{'|'.join(_BASES)})\.py")
_LEAF = re.compile(
    r"(?P<start>(?:.*/)?)(?:baselines/(?P<baseline>ce|isda|kcl|mislas|paco|scl)|(?P<method>lcreg|lpa|sbcl))/"
    r"(?P<name>[a-z]+)(?:-(?P<ablation>latent|aug|recon|m\d+|no-warmup|kmeans|fixed-temperature|released))?"
    r"_(?P<model>[rx]\d+)_(?P<data>(?:cifar100?-lt(?=10|50)|imagenet-lt|places-lt|tiny-imagenet-lt|inat|digits))"
    r"(?P<factor>100|50|10)?(?P<folder>_folder)?(?:_(?P<epochs>\d+)e)?(?:_(?P<ending>stage1|crt))?\.py"
)


def new_spelling(path: str) -> str | None:
    """Translate the path of a config of version 0.1 into the spelling of today.

    Args:
        path (str): The file as typed, like ``configs/baselines/ce/ce_r32_cifar10-lt50.py``.

    Returns:
        str | None: File, variants and options to type instead, like ``configs/ce/ce_r32_cifar10-lt.py:lt50`` or
        ``configs/ce/ce_r32_cifar100-lt.py --data data/cifar100 --shorten 10``; None if there was no such config, or if
        it still has its name.
    """
    if base := _BASE.fullmatch(path):
        return base["start"] + _BASES[base["name"]]
    old = _LEAF.fullmatch(path)
    if old is None:
        return None
    method = old["baseline"] or old["method"]
    name = "lpa" if method == "lpa" and old["data"] != "inat" else old["name"]
    file = f"{old['start']}{method}/{name}_{old['model']}_{old['data']}.py"
    if file == path or not Path(file).is_file():
        return None
    variants = [f"lt{old['factor']}"] if old["factor"] not in (None, "100") else []
    variants += [old["ablation"]] if old["ablation"] else []
    # There was no second stage on Tiny-ImageNet-LT.
    variants += [old["ending"]] if old["ending"] and "tiny" not in old["data"] else []
    spelling = file + (f":{','.join(variants)}" if variants else "")
    if old["folder"]:
        spelling += f" --data data/{old['data'].removesuffix('-lt')}"
    if old["epochs"]:
        spelling += f" --shorten {_TIMES_SHORTER[method, int(old['epochs'])]}"
    return spelling
