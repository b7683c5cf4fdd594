"""Turn a finished run into a JSON file for results/, so that nobody types numbers."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lt_plugins.atomic_write import atomic_write, check_output
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, user_errors
from lt_plugins.runs.spec import ConfigSpec, parse_spec
from lt_plugins.runs.transfer_table import detection_metrics
from lt_plugins.unreadable import read_json, read_yaml, refuse_unreadable

if TYPE_CHECKING:
    from mmengine.config import Config

    from lt_plugins.runs.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
METRICS = {
    "shot/accuracy_top1": "overall",
    "shot/accuracy_top5": "top5",
    "shot/many": "many",
    "shot/medium": "medium",
    "shot/few": "few",
    "shot/balanced": "balanced",
    "shot/geometric_mean": "geometric_mean",
    "shot/harmonic_mean": "harmonic_mean",
    "calibration/ece": "ece",
}
# Set by the tools or by where a run happens, not by what is trained.
NOT_OPTIONS = re.compile(
    r"(work_dir|launcher|resume|load_from|experiment_name|env_cfg|model_wrapper_cfg)\b|.*\.pin_memory$"
)
TIME_STAMP = re.compile(r"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ")


def flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a config by their dotted keys."""
    if not node or not isinstance(node, dict | list | tuple):
        yield prefix, node
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))


def overrides(config: Config, trained: dict[str, Any]) -> dict[str, Any]:
    """What the trained config has that the written one does not; a schedule that followed the length counts not."""
    trained = dict(trained)
    written = trained.pop("written_schedule", None) or {}
    trained["param_scheduler"] = written.get("param_scheduler", trained.get("param_scheduler"))
    followed = set(written.get("hooks", ()))
    original = dict(flatten(config.to_dict()))
    return {
        key: value
        for key, value in flatten(trained)
        if (key not in original or original[key] != value) and not NOT_OPTIONS.match(key) and key not in followed
    }


def find_config(run: RunFolder, stages: Sequence[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The config of a run with its variants, by its name and the fewest overrides; and those of each stage.

    Args:
        run (RunFolder): The run.
        stages (Sequence[dict]): The trained config of each stage.

    Raises:
        UserInputError: If no metafile names a config with this name, or the folder of a stage is missing.
    """
    from lt_plugins.runs.config import read_stages

    dumps = [path.name for path in run.path.glob("*.py")]
    named = [
        model["Config"]
        for metafile in sorted((ROOT / "configs").rglob("metafile.yml"))
        for model in read_yaml(metafile, "correct it (CONTRIBUTING.md).")["Models"]
    ]
    configs = {spec: read_stages(str(ROOT / spec)) for spec in named if Path(parse_spec(spec).path).name in dumps}
    if not configs:
        raise UserInputError(f"no metafile.yml names a config that is called like the dump in {run.path} ({dumps}).")
    # The last stage says which one it is, the others which variant.
    changed = {
        spec: [overrides(*pair) for pair in zip(reversed(written), reversed(stages), strict=False)]
        for spec, written in configs.items()
    }
    best = min(changed, key=lambda spec: (len(changed[spec][0]), sum(map(len, changed[spec]))))
    if len(configs[best]) != len(stages):
        raise UserInputError(
            f"{run.path} has no folder stage1; a result is that of all {len(configs[best])} stages, so put it back."
        )
    return best, changed[best][::-1]


def options_of(stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``--cfg-options`` that override these values of each stage: what the stage before has too comes from there."""
    options = dict(stages[0])
    for number, (before, after) in enumerate(pairwise(stages), start=2):
        options |= {f"stage{number}.{key}": value for key, value in after.items() if before.get(key) != value}
    return options


def read_logs(run: RunFolder) -> tuple[datetime, float, str]:
    """Start, seconds over all starts, and the text before the first step."""
    seconds, header, first = 0.0, "", None
    for start in run.starts:
        stamps = []
        logs = sorted(start.glob("*.log"))
        if not logs:
            raise UserInputError(f"{start} has no log (*.log).")
        with logs[0].open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file):
                header += line if number < 100 else ""
                if match := TIME_STAMP.match(line):
                    stamps.append(datetime.strptime(match[1], "%Y/%m/%d %H:%M:%S"))
        if not stamps:
            continue  # stopped before its first line
        first = first or stamps[0]
        seconds += (stamps[-1] - stamps[0]).total_seconds()
    if first is None:
        raise UserInputError(f"{run.path} has no log.")
    return first, seconds, header


def find(pattern: str, text: str) -> str | None:
    """First group of the first match."""
    match = re.search(pattern, text)
    return match[1].strip() if match else None


def describe_hardware(header: str) -> str:
    """The GPUs that the log names, or this machine's CPU."""
    gpus = re.findall(r"^\s*GPU ([\d,]+): (.+)$", header, re.MULTILINE)
    if gpus:
        return ", ".join(f"{indices.count(',') + 1} x {name}" for indices, name in dict.fromkeys(gpus))
    info = Path("/proc/cpuinfo")
    model = find(r"model name\s*: (.+)", info.read_text(encoding="utf-8")) if info.exists() else None
    return f"{os.cpu_count()} cores of {model or 'a CPU'}"


def commit_at(time: datetime) -> str:
    """The newest commit when the run started; empty outside of a git checkout."""
    command = ["git", "rev-list", "-1", f"--before={time:%Y-%m-%dT%H:%M:%S}", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def describe_previous(config: str, earlier: Sequence[RunFolder]) -> dict[str, Any]:
    """Config, epochs, time and commit of the stage before the last one, in it those of the one before it, and so on.

    Args:
        config (str): The config of the run.
        earlier (Sequence[RunFolder]): The folders of the stages before the last one.

    Returns:
        dict: ``previous_stage``, or nothing if there is none.
    """
    described: dict[str, Any] = {}
    for number, stage in enumerate(earlier, start=1):
        started, seconds, _ = read_logs(stage)
        path, variants = parse_spec(config)
        described = {
            "previous_stage": {
                "config": str(ConfigSpec(path, (*variants, f"stage{number}"))),
                "epochs": stage.setting("train_cfg.max_epochs", int),
                "time_s": seconds,
                "commit": commit_at(started),
                **described,
            }
        }
    return described


def evaluation(row: dict[str, float]) -> dict[str, float]:
    """Metrics of one evaluation under the names of the tables."""
    return {name: round(row[key], 4) for key, name in METRICS.items() if key in row}


def collect(run: RunFolder) -> dict[str, Any]:
    """Everything that results/ says about a run.

    Args:
        run (RunFolder): A finished run.

    Raises:
        UserInputError: If the run is not finished, or its logs or config are missing.
    """
    from lt_plugins.runs.run_folder import RunFolder

    log = run.log()
    epochs = run.setting("train_cfg.max_epochs", int)
    evaluated = [row for row in log.metrics if "shot/accuracy_top1" in row]
    done = evaluated[-1]["step"] if evaluated else 0
    if done != epochs:
        raise UserInputError(f"{run.path} is evaluated up to epoch {done} of {epochs}; finish it with --resume.")
    earlier = [RunFolder(folder) for folder in sorted(run.path.glob("stage[1-9]"))]
    config, stages = find_config(run, [stage.config()[1] for stage in (*earlier, run)])
    changed = options_of(stages)
    started, seconds, header = read_logs(run)
    best = max(evaluated, key=lambda row: row["shot/accuracy_top1"])
    memory = [row["memory"] for row in log.train if "memory" in row]
    options = "".join(f" {key}={json.dumps(value).replace(' ', '')}" for key, value in changed.items())
    shortened = any(key.endswith("train_cfg.max_epochs") for key in changed)
    return {
        "config": config,
        "command": f"python tools/train.py {config}" + (f" --cfg-options{options}" if changed else ""),
        "seed": run.setting("randomness.seed", int),
        "dataset": Path(parse_spec(config).path).stem.split("_")[2],
        "epochs": epochs,
        "schedule": "short" if shortened else "full",
        "hardware": describe_hardware(header),
        "torch": find(r"PyTorch: (\S+)", header),
        "time_s": seconds,
        "max_memory_mb": round(max(memory)) if memory else None,
        "commit": commit_at(started),
        **describe_previous(config, earlier),
        "metrics": evaluation(evaluated[-1]),
        "best": {"epoch": best["step"], **evaluation(best)},
    }


def collect_transfer(run: RunFolder) -> dict[str, Any]:
    """Everything that results/ says about a fine-tuning of tools/detection/transfer.py.

    Args:
        run (RunFolder): A finished run, one backbone and seed.

    Raises:
        UserInputError: If the run is not finished, or its logs or config are missing.
    """
    _, trained = run.config()
    log = run.log()
    iterations = run.setting("train_cfg.max_iters", int)
    last = [row for row in log.metrics if row["step"] == iterations]
    if not last:
        raise UserInputError(f"{run.path} is not evaluated after iteration {iterations}; finish it with transfer.py.")
    transfer = read_json(run.path / "transfer.json", "give the folder of a run of transfer.py.")
    config, [changed] = find_config(run, [trained])
    changed = {key: value for key, value in changed.items() if not key.startswith("custom_hooks.")}
    started, seconds, header = read_logs(run)
    options = "".join(f" {key}={json.dumps(value).replace(' ', '')}" for key, value in changed.items())
    return {
        "config": config,
        "command": f"python tools/train.py {config} --backbone {transfer['checkpoint']}"
        + (f" --cfg-options{options}" if changed else ""),
        "seed": run.setting("randomness.seed", int),
        "backbone": {"name": transfer["backbone"], "checkpoint": transfer["checkpoint"], "sha256": transfer["sha256"]},
        "iterations": iterations,
        "starts": len(run.starts),
        "hardware": describe_hardware(header),
        "torch": find(r"PyTorch: (\S+)", header),
        "time_s": seconds,
        "max_memory_mb": round(max(row["memory"] for row in log.train)),
        "commit": commit_at(started),
        "loss": {"first": round(log.train[0]["loss"], 4), "last": round(log.train[-1]["loss"], 4)},
        "metrics": detection_metrics(last[-1]),
    }


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument("work_dir", help="work dir of a finished run")
    parser.add_argument("out", type=Path, help="like results/lpa/lpa_r32_cifar100-lt_seed0.json")
    return parser.parse_args(argv)


def record(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from lt_plugins.runs.run_folder import RunFolder

    run = RunFolder(args.work_dir)
    check_output(args.out, run.files())
    with refuse_unreadable(run.path, "a finished run", "give the work dir of a run that is."):
        result = collect_transfer(run) if (run.path / "transfer.json").is_file() else collect(run)
    atomic_write(args.out, (json.dumps(result, indent=2) + "\n").encode())
    print(f"{args.out}: {result['metrics']}")


def main(argv: Sequence[str] | None = None) -> None:
    """Write the file."""
    with user_errors():
        record(parse_args(argv))


if __name__ == "__main__":
    main()
