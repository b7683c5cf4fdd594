"""Every config of version 0.1 means in the present tree what it meant then.

``frozen_configs.json`` holds their resolved stages: each stage is a row of indices into tables of distinct values, one
table a key that the runner reads (null: the key is absent). Hooks of the infrastructure, which stood in
``custom_hooks``, are left out of it. What is meant to differ is listed here, with the reason.
"""

from __future__ import annotations

import collections
import functools
import itertools
import json
import operator
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from lt_plugins.runs.config import read_stages
from lt_plugins.runs.old_configs import new_spelling

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
FROZEN = json.loads(Path(__file__).with_name("frozen_configs.json").read_text())

INFRASTRUCTURE = {
    "class_distribution": "ClassDistributionHook",
    "checkpoint_fit": "CheckpointFitHook",
    "preflight": "PreflightHook",
    "epoch_seed": "EpochSeedHook",
}
"""They moved from ``custom_hooks`` to ``default_hooks``, so that ``custom_hooks`` is the method alone."""
ADDED = {
    "epoch": "EpochHook",
    "memory_format": "MemoryFormatHook",
    "runtime_info": "DeferredInfoHook",
    "teachers": "TeacherHook",
}
"""Hooks of ``default_hooks`` that are new: they do nothing for the methods of version 0.1 but DRW, or change the order
in memory, which ``CIFARResNet`` did by itself, or when losses are read."""
DEFAULTS = {"init_cfg": None, "drop_last": False, "num_processes": None}
"""Absent means the same: weights come from the stage before, and any number of processes is taken."""
ABSENT = "(absent)"
RENAMED: dict[str, str] = {
    "lt_plugins": "lt_plugins.plugins",  # importing the package itself is to stay light
    "ResNetCIFAR32": "CIFARResNet",  # it has other depths too
    "SupContrastHead": "SupConHead",  # the field's name
    "FolderDataset": "ImageListDataset",
    "ListDataset": "ImageListDataset",
    "LinearClsHead": "LinearHead",  # the same weights and numbers, without Python code for each image of a batch
}
"""Names of components and modules."""
INVERTED = {"live_batch_norm": "norm_eval"}
"""Flags that are mmpretrain's now, which say the opposite."""
SMALL_IMAGES = re.compile("_(cifar10|cifar100|digits|tiny-imagenet)(-lt|[_.])")
"""Evaluating these after every epoch took a quarter of a training's arithmetic: now after every 10th and the last."""
GRAY = [128, 128, 128]
"""The CIFAR policy fills with gray; a single value is blue behind mmcv's rotation."""
MIN_SECONDS = re.compile("_(cifar10|cifar100|tiny-imagenet)(-lt|[_.])")
"""Of these an epoch takes a second on a GPU: no checkpoint within 30 s of the last one."""
DATA_KEYS = {"train_dataloader", "val_dataloader", "test_dataloader"}
"""``--data`` gives the datasets that the ``_folder`` configs had."""
SCHEDULE_KEYS = {"train_cfg", "param_scheduler", "optim_wrapper", "custom_hooks", "auto_scale_lr", "num_processes"}
"""``--shorten`` shortens the schedule of the recipe; the ``_Ne`` configs had a recipe of their own."""
LATER = {
    "balanced_softmax/balanced-softmax_r32_cifar10-lt.py",
    "balanced_softmax/balanced-softmax_r32_cifar100-lt.py",
    "balanced_softmax/balanced-softmax_r32_digits.py",
    "class_balanced/cb-ce_r32_cifar100-lt.py",
    "class_balanced/cb-ce_r32_digits.py",
    "class_balanced/cb-focal_r32_cifar10-lt.py",
    "class_balanced/cb-focal_r32_cifar100-lt.py",
    "class_balanced/cb-focal_r32_digits.py",
    "class_balanced/cb-focal_r50_inat.py",
    "cosine/cosine_r32_cifar100-lt.py",
    "cosine/cosine_r32_digits.py",
    "crt/crt_r32_cifar10-lt.py",
    "crt/crt_r32_cifar100-lt.py",
    "crt/crt_r32_digits.py",
    "crt/crt_r50_imagenet-lt.py",
    "crt/crt_r50_inat.py",
    "crt/crt_x50_imagenet-lt.py",
    "drw/ce-drs_r32_cifar100-lt.py",
    "drw/ce-drs_r32_digits.py",
    "drw/ce-drw_r32_cifar10-lt.py",
    "drw/ce-drw_r32_cifar100-lt.py",
    "drw/ce-drw_r32_digits.py",
    "drw/ce-drw_r50_imagenet-lt.py",
    "focal/focal_r32_cifar100-lt.py",
    "focal/focal_r32_digits.py",
    "focal/focal_r50_imagenet-lt.py",
    "focal/focal_r50_inat.py",
    "gce/gce_r32_cifar100-lt.py",
    "gce/gce_r32_digits.py",
    "gcl/gcl_r152_places-lt.py",
    "gcl/gcl_r32_cifar100-lt.py",
    "gcl/gcl_r32_digits.py",
    "kcl/kcl_r152_places-lt.py",
    "ldam/ldam-drw_r32_cifar10-lt.py",
    "ldam/ldam-drw_r32_cifar100-lt.py",
    "ldam/ldam-drw_r32_digits.py",
    "ldam/ldam-drw_r50_imagenet-lt.py",
    "ldam/ldam-drw_r50_inat.py",
    "logit_adjustment/logit-adjustment_r32_cifar10-lt.py",
    "logit_adjustment/logit-adjustment_r32_cifar100-lt.py",
    "logit_adjustment/logit-adjustment_r32_digits.py",
    "logit_adjustment/logit-adjustment_r50_inat.py",
    "los/los_r32_cifar10-lt.py",
    "los/los_r32_cifar100-lt.py",
    "los/los_r32_digits.py",
    "lws/lws_r32_cifar10-lt.py",
    "lws/lws_r32_cifar100-lt.py",
    "lws/lws_r32_digits.py",
    "lws/lws_r50_imagenet-lt.py",
    "lws/lws_r50_inat.py",
    "lws/lws_x50_imagenet-lt.py",
    "mixup/mixup_r32_cifar10-lt.py",
    "mixup/mixup_r32_cifar100-lt.py",
    "mixup/mixup_r32_digits.py",
    "resampling/resampling_r32_cifar100-lt.py",
    "resampling/resampling_r32_digits.py",
    *(f"strong/{method}_r32_cifar{n}-lt.py" for method in ("ce", "ldam-drw", "vs", "vs-adrw-tla") for n in (10, 100)),
    "posthoc/logit-adjustment_r32_cifar10-lt.py",
    "posthoc/logit-adjustment_r32_cifar100-lt.py",
    "posthoc/logit-adjustment_r32_digits.py",
    "posthoc/ncm_r32_cifar10-lt.py",
    "posthoc/ncm_r32_cifar100-lt.py",
    "posthoc/ncm_r32_digits.py",
    "posthoc/ncm_r50_imagenet-lt.py",
    "posthoc/ncm_x50_imagenet-lt.py",
    "posthoc/tau-norm_r32_cifar10-lt.py",
    "posthoc/tau-norm_r32_cifar100-lt.py",
    "posthoc/tau-norm_r32_digits.py",
    "posthoc/tau-norm_r50_imagenet-lt.py",
    "posthoc/tau-norm_r50_inat.py",
    "posthoc/tau-norm_x50_imagenet-lt.py",
    "sam/focal-sam_r32_cifar10-lt.py",
    "sam/focal-sam_r32_cifar100-lt.py",
    "sam/focal-sam_r32_digits.py",
    "sam/imbsam_r32_cifar100-lt.py",
    "sam/imbsam_r32_digits.py",
    "sam/ldam-drw-sam_r32_cifar10-lt.py",
    "sam/ldam-drw-sam_r32_cifar100-lt.py",
    "sam/ldam-drw-sam_r50_imagenet-lt.py",
    "sam/ldam-drw-sam_r50_inat.py",
    "sam/sam_r32_cifar10-lt.py",
    "sam/sam_r32_cifar100-lt.py",
    "sam/sam_r32_digits.py",
    "sbcl/sbcl_r152_places-lt.py",
    "scl/scl_r152_places-lt.py",
    "scl/scl_r32_digits.py",
    "tde/tde_r32_cifar10-lt.py",
    "tde/tde_r32_cifar100-lt.py",
    "tde/tde_r32_digits.py",
    "tde/tde_x50_imagenet-lt.py",
    "vs/vs_r32_cifar10-lt.py",
    "vs/vs_r32_cifar100-lt.py",
    "vs/vs_r32_digits.py",
    "weight_balancing/weight-balancing_r32_cifar100-lt.py",
    "weight_balancing/weight-balancing_r32_digits.py",
}
"""Configs that came later than version 0.1."""


@functools.cache
def old_stages(name: str) -> list[dict[str, Any]]:
    """Resolved stages of an old config, by its path below ``configs/``, in the names of today; not to be changed."""
    rows = [zip(FROZEN["keys"], FROZEN["stages"][number], strict=True) for number in FROZEN["configs"][name]]
    stages = [renamed({key: FROZEN["values"][key][i] for key, i in row if i is not None}) for row in rows]
    for stage in stages:
        move_settings(stage)
        if SMALL_IMAGES.search(name) and stage["train_cfg"]["val_interval"] == 1:
            stage["train_cfg"]["val_interval"] = 10
        if MIN_SECONDS.search(name):
            stage["default_hooks"]["checkpoint"]["min_seconds"] = 30
    return [normalised(stage) for stage in stages]


def move_settings(stage: dict[str, Any]) -> None:
    """Write the settings of hooks of version 0.1, in place, where they are now.

    A ``ReclusterHook`` names its task, which followed from the model; its settings were called ``clustering``. Class
    weights from epoch ``start`` on are settings of the loss.
    """
    head, hooks = stage["model"]["head"], stage["custom_hooks"]
    stage["data_preprocessor"].setdefault("type", "ImageBatchPreprocessor")  # mmpretrain's, of a batch as a whole
    for hook in [hook for hook in hooks if hook["type"] == "DeferredReweightHook"]:
        assert hook == {"type": "DeferredReweightHook", "start": 0}
        head["loss"]["class_weight"] = "effective_number"
        hooks.remove(hook)
    for hook in hooks:
        if hook["type"] == "ReclusterHook":
            task = "AttributeClustering" if head["type"] == "LPAHead" else "SubclassClustering"
            hook["task"] = {"type": task, **hook.pop("clustering", {})}


def renamed(node: Any) -> Any:
    """An old value in the names of today."""
    if isinstance(node, dict):
        if node.get("type") == "Rotate" and "angle" in node:
            node = {**node, "pad_val": GRAY}
        return {INVERTED.get(key, key): not value if key in INVERTED else renamed(value) for key, value in node.items()}
    if isinstance(node, list):
        return [renamed(value) for value in node]
    return RENAMED.get(node, node) if isinstance(node, str) else node


@functools.cache
def new_stages(spec: str) -> list[dict[str, Any]]:
    """Resolved stages of a config, with what the runner reads; not to be changed."""
    return [as_frozen(stage) for stage in read_stages(spec)]


def as_frozen(cfg: Config) -> dict[str, Any]:
    """The keys that are frozen, as JSON has them, without the hooks of the infrastructure."""
    view = {key: value for key, value in json.loads(json.dumps(cfg.to_dict())).items() if key in FROZEN["keys"]}
    hooks = view["default_hooks"]
    moved = INFRASTRUCTURE | ADDED
    assert {key: hooks.pop(key)["type"] for key in moved} == moved
    return normalised(view)


def normalised(node: Any, in_loss: bool = False) -> Any:
    """A value without what changes nothing of a run: defaults that are written out, and classes of losses."""
    if isinstance(node, dict):
        return {
            key: normalised(value, key in {"loss", "warmup_loss"})
            for key, value in node.items()
            if not (key in DEFAULTS and value == DEFAULTS[key]) and not (in_loss and key == "num_classes")
        }
    return [normalised(value) for value in node] if isinstance(node, list) else node


def differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    """Dotted keys whose values differ, with the values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from differences(old.get(name, ABSENT), new.get(name, ABSENT), f"{key}.{name}" if key else name)
    elif json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True):
        yield f"{key}: {json.dumps(old)} -> {json.dumps(new)}"


def spelled(name: str) -> tuple[str, dict[str, str]]:
    """New spelling of an old config: file with variants, and its options."""
    spec, *options = (new_spelling(str(CONFIGS / name)) or str(CONFIGS / name)).split()
    return spec, dict(zip(options[::2], options[1::2], strict=True))


@pytest.mark.parametrize("name", FROZEN["configs"])
def test_means_what_it_meant(name: str) -> None:
    spec, options = spelled(name)
    old, new = old_stages(name), new_stages(spec)
    assert len(old) == len(new)
    ignored: set[str] = set()
    if "--data" in options:
        ignored |= DATA_KEYS
    if "--shorten" in options:
        ignored |= SCHEDULE_KEYS | DATA_KEYS
    for before, after in zip(old, new, strict=True):
        kept = {*before, *after} - ignored
        assert list(differences({k: before[k] for k in kept & {*before}}, {k: after[k] for k in kept & {*after}})) == []


def test_counts_of_files() -> None:
    files = [path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.py") if "detection" not in path.parts]
    bases = [path for path in files if "_base_" in path.parts]
    assert len(files) - len(bases) <= 343
    assert len(bases) <= 109
    assert all(path.parts[0] == "_base_" or len(path.parts) == 2 for path in files), "method folders are flat"


def test_every_file_stands_for_an_old_config() -> None:
    """None is left over in its folder; whole folders and GLT benchmarks came later."""
    used = {spelled(name)[0].partition(":")[0] for name in FROZEN["configs"]}
    later = {str(CONFIGS / name) for name in LATER}
    folders = {Path(file).parent for file in used | later}
    leaves = {str(path) for folder in folders for path in folder.glob("*.py") if not path.stem.endswith("-glt")}
    assert leaves - used == later


def flat(node: Any, key: str = "") -> dict[str, Any]:
    """Leaves of a config by their dotted keys; a list is one value."""
    if not isinstance(node, dict):
        return {key: json.dumps(node, sort_keys=True)}
    return {k: v for name, value in node.items() for k, v in flat(value, f"{key}.{name}").items()}


NAMES = {".train_cfg.method"}
"""Values that are methods and not settings of one."""

Values = dict[tuple[int, str], str]
"""What a config says, by stage and key."""


def distance(one: Values, other: Values) -> int:
    """In how many values two configs differ, by stage and key; the name of a method counts twice."""
    return sum(2 if key in NAMES else 1 for _, key in {place for place, _ in one.items() ^ other.items()})


def close_pairs(values: Mapping[Path, Values]) -> list[tuple[Path, Path]]:
    """The pairs of configs with a distance below 2, without a look at all the others.

    Two configs that differ at one place at most are the same without it. A config's hashes, XORed, sum it up, and XORed
    with one of them once more sum up the rest.
    """
    alike = collections.defaultdict(set)
    for path, content in values.items():
        whole = functools.reduce(operator.xor, map(hash, content.items()))
        for sum_of_rest in {whole, *(whole ^ hash(item) for item in content.items())}:
            alike[sum_of_rest].add(path)
    candidates = {pair for paths in alike.values() for pair in itertools.combinations(sorted(paths), 2)}
    return sorted(pair for pair in candidates if distance(values[pair[0]], values[pair[1]]) < 2)


@pytest.mark.parametrize(
    ("changes", "is_close"),
    [
        ({}, True),
        ({(0, ".lr"): "0.2"}, True),
        ({(1, ".lr"): "0.2"}, True),
        ({(0, ".lr"): None}, True),
        ({(0, ".lr"): "0.2", (0, ".epochs"): "100"}, False),
        ({(0, ".lr"): None, (1, ".lr"): "0.1"}, False),
        ({(0, ".train_cfg.method"): '"LAS"'}, False),
    ],
)
def test_close_pairs(changes: dict[tuple[int, str], str | None], is_close: bool) -> None:
    base = {(0, ".lr"): "0.1", (0, ".epochs"): "200", (0, ".train_cfg.method"): '"cRT"'}
    other = {place: value for place, value in {**base, **changes}.items() if value is not None}
    far = {(0, ".lr"): "1"}
    one, another = Path("a"), Path("b")
    assert close_pairs({one: base, Path("c"): far, another: other}) == ([(one, another)] if is_close else [])


def test_a_file_fixes_at_least_two_values_together() -> None:
    """Against every other file: a single value is a variant or an option."""
    leaves = sorted(path for path in CONFIGS.rglob("*.py") if not {"_base_", "detection"} & {*path.parts})
    values = {
        path: {
            (number, key): value
            for number, stage in enumerate(new_stages(str(path)))
            for key, value in flat(stage).items()
        }
        for path in leaves
    }
    assert close_pairs(values) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("_base_/datasets/cifar10-lt50.py", "_base_/datasets/cifar10-lt.py:lt50"),
        ("_base_/datasets/places-lt_256.py", "_base_/datasets/places-lt.py:standard"),
        ("baselines/ce/ce_r32_cifar100-lt100.py", "ce/ce_r32_cifar100-lt.py"),
        ("baselines/kcl/kcl_r32_cifar100-lt100_crt.py", "kcl/kcl_r32_cifar100-lt.py:crt"),
        ("lpa/paco_r32_cifar10-lt50.py", "lpa/lpa_r32_cifar10-lt.py:lt50"),
        ("lcreg/lcreg-m20_r50_imagenet-lt.py", "lcreg/lcreg_r50_imagenet-lt.py:m20"),
        ("sbcl/sbcl-released_r32_cifar100-lt10_stage1.py", "sbcl/sbcl_r32_cifar100-lt.py:lt10,released,stage1"),
        (
            "baselines/ce/ce_r32_cifar100-lt100_folder_20e.py",
            "ce/ce_r32_cifar100-lt.py --data data/cifar100 --shorten 10",
        ),
        ("lpa/paco_r50_inat.py", None),
        ("ce/ce_r32_cifar100-lt.py", None),
        ("baselines/ce/ce_r33_cifar100-lt100.py", None),
        ("baselines/ce/README.md", None),
    ],
)
def test_old_paths_are_spelled_anew(old: str, new: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert new_spelling(f"configs/{old}") == (new and f"configs/{new}")
    assert new_spelling(str(CONFIGS / old)) == (new and f"{CONFIGS}/{new}")
