"""Benchmark of every method's training step: its cost beside what its passes through the network must cost.

Each method (the first part of a config's name) is trained by its config on a ResNet-32 at 32x32 pixels, late in the
training, when all that is deferred has begun; stages that train something other are rows of their own. Steps are taken
in turn in one run, each between two of cross-entropy on the same network (of another one than ResNet-32: between two
plain passes of its backbone, forward and backward), and compared with their mean.

The count is that of the operators which a step really calls: arithmetic of the convolutions, forward and backward,
relative to that step. So SAM, which passes a batch twice, must cost 2, and the training of a classifier on a frozen
network a third. Loading and augmentation of images is left out: `benchmarks/throughput.py` has it.

    python -m benchmarks.step_cost [--methods ride crt] [--fail-above 1.10] [--json FILE]
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from benchmarks.single_steps import Count, PlainSteps, Stepper, Steps, Trained, read_trained
from benchmarks.timed_runs import Span

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "ce"
DATASETS = ("cifar100-lt", "cifar10-lt", "digits")
"""The first one that a method has a config of, ResNet-32, stands for it."""
BACKBONE = "r32"


class Row(NamedTuple):
    """A stage beside cross-entropy.

    Args:
        name (str): The method and its stage.
        config (str): The config, below the root of the repository.
        forward (float): Passes forward, of those of cross-entropy.
        backward (float): Passes backward.
        passes (float): Arithmetic of both.
        cost (float): Median time, of that of cross-entropy.
        least (float): The least such ratio.
        largest (float): The largest.
        wall (float): Median time on the clock, of that of cross-entropy.
        memory (float): Peak memory.
    """

    name: str
    config: str
    forward: float
    backward: float
    passes: float
    cost: float
    least: float
    largest: float
    wall: float
    memory: float

    @property
    def above(self) -> float:
        """Time by the count: 1 if the step costs what its passes do."""
        return self.cost / self.passes


def find_configs() -> dict[str, Path]:
    """The config that stands for each method, by its name; cross-entropy is the first."""
    found: dict[str, Path] = {}
    for dataset in DATASETS:
        for path in sorted((ROOT / "configs").glob(f"*/*_{BACKBONE}_{dataset}.py")):
            found.setdefault(path.name.partition("_")[0], path)
    return {REFERENCE: found.pop(REFERENCE), **dict(sorted(found.items()))}


def find_rows(methods: Sequence[str], batch_size: int) -> tuple[Trained, list[list[Trained]]]:
    """Cross-entropy, and the stages of each method that train something other than one before.

    Args:
        methods (Sequence[str]): Patterns of names; all without one.
        batch_size (int): Images of a step.
    """
    configs = find_configs()
    [reference] = read_trained(REFERENCE, configs.pop(REFERENCE), batch_size)
    seen = {reference.key}
    rows = []
    for name, path in configs.items():
        if methods and not any(fnmatch.fnmatch(name, pattern) for pattern in methods):
            continue
        stages = read_trained(name, path, batch_size)
        own = [stage for stage in stages if stage.key not in seen]
        seen |= {stage.key for stage in own}
        # Earlier stages make the weights that later ones start from.
        rows.append([stage for stage in stages if own and stage.stage <= own[-1].stage])
    return reference, [stages for stages in rows if stages]


def measure(
    reference: Trained,
    methods: Sequence[Sequence[Trained]],
    batch_size: int,
    rounds: int,
    device: torch.device,
    folder: Path,
) -> list[Row]:
    """Count and time the steps.

    Args:
        reference (Trained): Cross-entropy.
        methods (Sequence[Sequence[Trained]]): The stages of each method.
        batch_size (int): Images of a step.
        rounds (int): Steps of each.
        device (torch.device): Where they run.
        folder (Path): For files of the runs.
    """
    plain = Stepper(reference, folder, device)
    networks: dict[str, Steps] = {_network(reference): plain}
    counts = {id(plain): plain.count()}
    steppers: dict[str, tuple[Trained, Steps, Steps]] = {}
    begin, total = time.monotonic(), sum(map(len, methods))
    keys = {reference.key}
    for index, stage in enumerate((stage for stages in methods for stage in stages), start=1):
        _progress(f"{index} of {total} prepared and counted: {stage.name}", begin)
        stepper = Stepper(stage, folder, device)
        if stage.key in keys:
            continue
        keys.add(stage.key)
        if (network := _network(stage)) not in networks:
            networks[network] = PlainSteps(stepper.model.get_submodule("backbone"), batch_size, device)
            counts[id(networks[network])] = networks[network].count()
        steppers[stage.name] = stage, stepper, networks[network]
        counts[id(stepper)] = stepper.count()
    ratios: dict[str, list[Span]] = {name: [] for name in steppers}
    for number in range(rounds):
        for index, (name, (_, steps, same)) in enumerate(steppers.items(), start=1):
            _progress(f"round {number + 1} of {rounds}, {index} of {len(steppers)}: {name}", begin)
            before, took, after = same.step(), steps.step(), same.step()
            twice = before + after
            ratios[name].append(Span(2 * took.wall / twice.wall, 2 * took.cpu / twice.cpu))
    _progress("", begin)
    return [
        _row(stage, counts[id(steps)], counts[id(same)], ratios[name], device.type == "cuda")
        for name, (stage, steps, same) in steppers.items()
    ]


def _network(stage: Trained) -> str:
    backbone = {key: value for key, value in stage.cfg.model.backbone.items() if key != "init_cfg"}
    return json.dumps(backbone, sort_keys=True)


def _row(stage: Trained, own: Count, reference: Count, ratios: list[Span], by_wall: bool) -> Row:
    wall = [ratio.wall for ratio in ratios]
    times = wall if by_wall else [ratio.cpu for ratio in ratios]
    return Row(
        stage.name,
        str(Path(stage.config).relative_to(ROOT)),
        own.forward / reference.forward,
        own.backward / reference.backward,
        (own.forward + own.backward) / (reference.forward + reference.backward),
        statistics.median(times),
        min(times),
        max(times),
        statistics.median(wall),
        own.memory / reference.memory,
    )


def markdown(rows: Sequence[Row]) -> str:
    """The table of README.md.

    Args:
        rows (Sequence[Row]): Its rows.
    """
    lines = [
        "| method | forward | backward | count | cost (least-largest) | on the clock | above the count | peak memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| [{row.name}](../{row.config}) | {row.forward:.2f} | {row.backward:.2f} | {row.passes:.2f} | "
            f"{row.cost:.2f} ({row.least:.2f}-{row.largest:.2f}) | {row.wall:.2f} | {row.above - 1:+.0%} | "
            f"{row.memory:.2f} |"
        )
    return "\n".join(lines)


def _progress(text: str, begin: float) -> None:
    if sys.stderr.isatty():
        line = f"{text}, {time.monotonic() - begin:.0f} s" if text else ""
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Count, time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=(), metavar="NAME", help="some of them; * stands for any text")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each method")
    parser.add_argument("--batch-size", type=int, default=128, help="images a step")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to a file")
    parser.add_argument(
        "--fail-above", type=float, metavar="RATIO", help="exit with 1 if a cost is more than so many times the count"
    )
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    reference, methods = find_rows(args.methods, args.batch_size)
    if not methods:
        parser.error(f"no method is called {' '.join(args.methods)}; there are: {' '.join(find_configs())}")
    with TemporaryDirectory() as folder:
        rows = measure(reference, methods, args.batch_size, args.rounds, args.device, Path(folder))
    conditions: dict[str, Any] = {
        "torch": torch.__version__,
        "device": str(args.device),
        "threads": args.threads,
        "batch_size": args.batch_size,
        "rounds": args.rounds,
    }
    print(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in conditions.items()) + "\n")
    print(markdown(rows))
    if args.json:
        content = {**conditions, "rows": [{**row._asdict(), "above": row.above} for row in rows]}
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    if args.fail_above is not None and (dear := [row for row in rows if row.above > args.fail_above]):
        sys.exit(
            f"more than {args.fail_above:g} times the count: " + ", ".join(f"{r.name} {r.above:.2f}" for r in dear)
        )


if __name__ == "__main__":
    main()
