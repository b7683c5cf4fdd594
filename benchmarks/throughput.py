"""Images per second of whole trainings beside a bare PyTorch loop.

Each contestant is a process of its own and trains ResNet-32 with 100 classes on images of 32x32, an epoch of `--steps`
steps in turn with the others, round by round. What a contestant is compared with ran just before or after it, so what
else the machine does falls on all of them; medians over the rounds, with the least and the largest.

* bare: `benchmarks/bare_loop.py`, tensors in memory, no augmentation; channels-last (1.00) and contiguous
* mmpretrain: CE by its own classifier, pipeline and hooks and mmengine's runner, on our network
* ours: the config of the method by `tools/train.py`, with everything that a run does; also with the pipeline that
  prepares image by image (`--no-resident`)

What is compared is an epoch of CIFAR-100-LT (10,847 images): its steps, each the mean of those that were trained but
the first, which waits for the data, and what comes once an epoch (start of data workers, first batch, checkpoint,
checks). The evaluation of 10,000 images is given beside it, at the interval of the config. Where a step goes is timed
in an epoch of its own, in which a GPU is waited for after each part. On a GPU an epoch is augmented at its first batch:
give it its 85 steps.

    python -m benchmarks.throughput [--device cuda --steps 85] [--methods CE PaCo] [--data DIR]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmarks.timed_runs import Epoch, Options

METHODS = ("CE", "SCL", "PaCo", "LPA")
REFERENCE = "bare, channels last"
CONTESTANTS = (REFERENCE, "bare, contiguous", "mmpretrain", "ours, image by image", "ours")
EPOCH_IMAGES = 10_847  # of CIFAR-100-LT, imbalance factor 100
ONE_VIEW_BARS = {"cpu": 0.97, "cuda": 0.9}
TWO_VIEW_BARS = {"cpu": 0.9, "cuda": 0.8}
MAX_WITH_EVALUATION = 1.05
PARTS = ("data", "preprocessor", "hooks", "forward", "backward and update", "other")


class Contestant(NamedTuple):
    """A process that trains when it is told to.

    Args:
        process (BaseProcess): The process.
        pipe (Connection): To it.
    """

    process: BaseProcess
    pipe: Connection

    @classmethod
    def start(cls, name: str, options: Options) -> Contestant:
        """Start the process; it waits for the first method.

        Args:
            name (str): One of ``CONTESTANTS``.
            options (Options): Settings.
        """
        from benchmarks.timed_runs import run_contestant

        context = multiprocessing.get_context("spawn")
        own, other = context.Pipe()
        process = context.Process(target=run_contestant, args=(name, options, other))
        process.start()
        other.close()  # so that its end is noticed here
        return cls(process, own)

    def train_epoch(self) -> Epoch:
        """Let it train an epoch, and return what that took."""
        self.pipe.send(True)
        return self.pipe.recv()


class Ratio(NamedTuple):
    """Median of the ratios of the rounds, with the least and the largest.

    Args:
        median (float): The median.
        low (float): The least.
        high (float): The largest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
        """Compare round by round.

        Args:
            numerators (Sequence[float]): One a round.
            denominators (Sequence[float]): One a round.
        """
        ratios = [one / other for one, other in zip(numerators, denominators, strict=True)]
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}-{self.high:.3f})"


def race(method: str, contestants: dict[str, Contestant], num_warm: int, rounds: int) -> dict[str, list[Epoch]]:
    """Let all train a method in turn; the first epochs of each are warm-up and the one that is timed part by part.

    Args:
        method (str): One of ``METHODS``.
        contestants (dict[str, Contestant]): By name.
        num_warm (int): Epochs before those that count.
        rounds (int): Epochs that count.
    """
    epochs: dict[str, list[Epoch]] = {name: [] for name in contestants}
    for number in range(num_warm + rounds):
        for name, contestant in contestants.items():
            if number == 0:
                contestant.pipe.send(method)
            epochs[name].append(contestant.train_epoch())
            if number + 1 == num_warm + rounds:
                contestant.pipe.recv()  # it has finished
    return epochs


def report(method: str, epochs: dict[str, list[Epoch]], options: Options, num_warm: int) -> list[str]:
    """Print the table of a method.

    Args:
        method (str): One of ``METHODS``.
        epochs (dict[str, list[Epoch]]): Of each contestant, with those that do not count.
        options (Options): Settings.
        num_warm (int): Epochs that do not count.

    Returns:
        list[str]: What is compared with the bars.
    """
    counted = {name: values[num_warm:] for name, values in epochs.items()}
    num_steps = EPOCH_IMAGES / options.batch_size
    whole = {name: [epoch.of_steps(num_steps) for epoch in values] for name, values in counted.items()}
    reference = whole[REFERENCE]
    print(f"\n{method:<22} images/s  / bare (least-largest)  CPU time / bare  once an epoch")
    ratios: dict[str, Ratio] = {}
    for name, spans in whole.items():
        speed = EPOCH_IMAGES / statistics.median(span.wall for span in spans)
        ratios[name] = Ratio.of([span.wall for span in reference], [span.wall for span in spans])
        cpu = Ratio.of([span.cpu for span in spans], [span.cpu for span in reference])
        once = statistics.median(
            epoch.between.wall / span.wall for epoch, span in zip(counted[name], spans, strict=True)
        )
        print(f"{name:>22} {speed:8.1f}  {ratios[name]!s:>22}  {cpu.median:15.3f}  {once:>13.1%}")
    for name in whole:
        if (timed := epochs[name][num_warm - 1]).parts:
            print(f"{name:>22}, a step: {_shares(timed)}")
    bar = (ONE_VIEW_BARS if method == "CE" else TWO_VIEW_BARS)[options.device]
    ratio = ratios["ours"].median
    verdicts = [_verdict(ratio >= bar, f"{method}: {ratio:.3f} of the bare loop, bar {bar}")]
    last = counted["ours"][-1]
    assert last.evaluation is not None
    share = last.evaluation / statistics.median(span.wall for span in whole["ours"])
    with_evaluation = 1 + share / last.interval
    print(f"{'ours':>22}, evaluation: {share:.1%} of an epoch, every {last.interval} epochs")
    text = f"{method}: {with_evaluation:.3f} of an epoch with its share of the evaluation, bar {MAX_WITH_EVALUATION}"
    return [*verdicts, _verdict(with_evaluation <= MAX_WITH_EVALUATION, text)]


def _shares(epoch: Epoch) -> str:
    """Where a step goes."""
    seconds = dict(epoch.parts)
    step = seconds["data"] + seconds.pop("all but data")
    seconds["other"] = step - sum(seconds.values())
    shares = ", ".join(f"{part} {seconds[part] / step:.1%}" for part in PARTS)
    return f"{1e3 * step:.1f} ms: {shares}"


def _verdict(passed: bool, text: str) -> str:
    return f"{'PASS' if passed else 'FAIL'}  {text}"


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD", help="%(choices)s")
    parser.add_argument("--steps", type=int, default=10, help="of an epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="epochs that count (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=128, help="images a step (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch (default: the cores)")
    parser.add_argument("--workers", type=int, default=2, help="of the per-image pipeline (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--data", help="images, as for tools/train.py (default: data/cifar100, or synthetic ones)")
    args = parser.parse_args()
    if args.steps < 2 or args.rounds < 1:
        parser.error("give at least 2 steps and a round")
    return args


def main() -> None:
    """Measure and print."""
    args = parse_args()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # mmengine takes a GPU wherever there is one
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import torch

    from benchmarks.timed_runs import NUM_WARM_EPOCHS, Options, uses_synthetic_images

    options = Options(args.steps, args.rounds, args.batch_size, args.threads, args.workers, args.device, args.data)
    images = "synthetic ones, as data/cifar100 is not there" if uses_synthetic_images(options) else "data/cifar100"
    print(f"torch {torch.__version__}, {args.device}, {args.threads} threads; images: {args.data or images}")
    print(f"{args.rounds} rounds of {args.steps} steps of {args.batch_size} images")
    contestants = {name: Contestant.start(name, options) for name in CONTESTANTS}
    verdicts: list[str] = []
    try:
        for method in args.methods:
            taking_part = {key: value for key, value in contestants.items() if method == "CE" or key != "mmpretrain"}
            verdicts += report(
                method, race(method, taking_part, NUM_WARM_EPOCHS, args.rounds), options, NUM_WARM_EPOCHS
            )
        for contestant in contestants.values():
            contestant.pipe.send(None)
            contestant.process.join()
    except (EOFError, ConnectionError):
        sys.exit("a contestant has failed, see above")
    finally:
        for contestant in contestants.values():
            contestant.process.terminate()
    print("\n" + "\n".join(verdicts))


if __name__ == "__main__":
    main()
