"""Changes between a run and its resume, and which of them need ``--accept-changes``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple, TypeGuard

from mmengine.config import Config

from lt_plugins.errors import UserInputError
from lt_plugins.runs.run_record import compare_configs, record_config

LENGTH = re.compile(r"train_cfg\.(max_epochs|max_iters)$")
# What moves with the length, and is taken over with it.
SCHEDULE = re.compile(
    r"param_scheduler\b|hooks\..*\.(start|begin_epoch|begin_iter|interval)$|model\..*\.reweight_from$"
)
# Where the data lie; whether they are the same is for the fingerprint to say.
PLACES = re.compile(r"train_dataloader\.dataset\..*?(data_root|data_prefix|ann_file|img_prefix|img_path)\b")
# What the classes are called; PreflightHook compares the names themselves, wherever they come from.
CLASSES = re.compile(r"train_dataloader\.dataset\..*?(classes|metainfo)\b")
# Parts of the environment that change no more than the last bits, and that only an option of the resume changes.
ASKED_FOR = ("compile",)
MAX_SHOWN = 8  # changes in a line


class ChangedRunError(UserInputError):
    """Error of a run that is resumed with other settings or data."""


class Change(NamedTuple):
    """Change: one difference between a run and its resume.

    Args:
        name (str): Key of the config, or what else differs.
        before (Any): Of the run so far.
        now (Any): Of the resume.
        is_refused (bool): Whether it needs ``--accept-changes``.
    """

    name: str
    before: Any
    now: Any
    is_refused: bool = True

    def __str__(self) -> str:
        before, now = ("none" if value is None else value for value in (self.before, self.now))
        return f"{self.name} {before} -> {now}"


def is_record(record: Any) -> TypeGuard[dict[str, Any]]:
    """Check whether a value has the form that :func:`~lt_plugins.runs.run_record.record_run` writes.

    Args:
        record (Any): From a checkpoint.
    """
    return isinstance(record, dict) and all(isinstance(record.get(k), dict) for k in ("config", "data", "environment"))


def show_changes(changes: list[Change]) -> str:
    """Format the first changes as one line, with the number of others.

    Args:
        changes (list[Change]): All of them.
    """
    rest = len(changes) - MAX_SHOWN
    return "; ".join(map(str, changes[:MAX_SHOWN])) + (f"; and {rest} more, in the log" if rest > 0 else "")


def find_changes(before: dict[str, Any], now: dict[str, Any]) -> Iterator[Change]:
    """Compare two records.

    Args:
        before (dict): Of the checkpoint.
        now (dict): Of the run that is to go on from it.

    Yields:
        Change: One at a time.
    """
    configs = list(_changed_config(before["config"], now["config"]))
    yield from configs
    yield from _changed_data(before["data"], now["data"], any(PLACES.match(change.name) for change in configs))
    for number, pair in enumerate(zip_longest(before.get("teachers", []), now.get("teachers", []))):
        if pair[0] != pair[1]:
            yield Change(f"weights of teacher {number}", *(text and text[:12] for text in pair))
    places = before["environment"], now["environment"]
    # Elsewhere a repeated run differs by rounding in any case.
    is_exact = all(
        place.get("device") == "cpu" or record["config"].get("randomness.deterministic")
        for place, record in zip(places, (before, now), strict=True)
    )
    for key in places[1]:
        if key in places[0] and places[0][key] != places[1][key]:
            # IterationSeedHook goes with images that are seeded one by one, whichever worker loads them.
            by_image = key == "num_workers" and "hooks.IterationSeedHook.type" in now["config"]
            is_refused = (is_exact and not by_image and key not in ASKED_FOR) or key == "world_size"
            yield Change(key, places[0][key], places[1][key], is_refused)


def check_finished_run(record: Any, cfg: Config, source: str) -> None:
    """Refuse a finished run whose config has changed.

    Args:
        record (Any): From its last checkpoint.
        cfg (Config): What it would be trained with now.
        source (str): How to name it.

    Raises:
        ChangedRunError: If its settings have changed and ``accept_changes`` is not set.
    """
    if not is_record(record) or cfg.get("accept_changes"):
        return
    # Another length shows in the epochs, and a schedule that was scaled to it is not what the config file says.
    refused = [
        change
        for change in _changed_config(record["config"], record_config(cfg))
        if change.is_refused and not SCHEDULE.match(change.name)
    ]
    if refused:
        raise ChangedRunError(
            f"{source} is finished, with other settings: {show_changes(refused)}. Keep it as it is with "
            "--accept-changes, or train all stages in another --work-dir."
        )


def _changed_config(before: dict[str, Any], now: dict[str, Any]) -> Iterator[Change]:
    changes = compare_configs(before, now)
    new_length = any(LENGTH.match(key) for key in changes)
    for key, (old, new) in changes.items():
        follows = LENGTH.match(key) or (new_length and SCHEDULE.match(key))
        any_seed = key == "randomness.seed" and new is None  # the run keeps its own
        compared_elsewhere = PLACES.match(key) or CLASSES.match(key)
        yield Change(key, old, new, is_refused=not (follows or any_seed or compared_elsewhere))


def _changed_data(before: dict[str, Any], now: dict[str, Any], new_place: bool) -> Iterator[Change]:
    old, new = before.get("class_counts"), now["class_counts"]
    if old and new and old != new:
        different = [label for label, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]]
        where = ""
        if different:
            where = f", first at class {different[0]} ({old[different[0]]} and {new[different[0]]})"
        yield Change(
            "images", f"trained on {sum(old)} images of {len(old)} classes", f"{sum(new)} of {len(new)}{where}"
        )
    elif before.get("list") != now["list"]:
        # With the same counts from another folder, the names of the files say nothing.
        number = before.get("images")
        if new_place and number == now["images"]:
            yield Change("place of the images", "one list", "another of as many", is_refused=False)
        else:
            yield Change("images", f"{number} in one list or order", f"{now['images']} in another")
