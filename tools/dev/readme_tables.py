"""Write the tables of all pages from configs/**/metafile.yml and results/; --check only compares.

A new config gets its epochs and the size of its network in its metafile. CONTRIBUTING.md describes metafiles and
results files.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, user_errors
from lt_plugins.runs.published import PROTOCOLS, published_protocols, transfer_cell
from lt_plugins.runs.spec import parse_spec, run_name
from lt_plugins.runs.tables import DETECTION as AVERAGE_PRECISIONS
from lt_plugins.runs.tables import GLT as GLT_COLUMNS
from lt_plugins.runs.tables import Result as RunResult
from lt_plugins.runs.tables import glt_name, markdown_table, mean_and_spread, result_rows
from lt_plugins.unreadable import read_json, read_yaml, refuse_unreadable

ROOT = Path(__file__).resolve().parents[2]
BEGIN = "<!-- begin results: written by `make results-table` -->"
END = "<!-- end results -->"
SMOKE_PAGE = "results/README.md"
GALLERY_PAGE = "docs/methods.md"
LEADERBOARD_PAGE = "docs/leaderboard.md"
CHOICE_PAGE = "docs/choosing_a_method.md"
# Sections of the gallery, in this order.
FAMILIES = (
    "Losses and class weights",
    "Classifiers",
    "Sampling",
    "Two stages",
    "Post-hoc",
    "Mixing and augmentation",
    "Optimisers",
    "Experts",
    "Invariance and debiasing",
    "Contrastive learning",
    "Subclasses, attributes, latent categories",
)
NO_METHODS = ("Demo", "Detection", "Fine-tuning")
MAX_IDEA = 100
# The dataset whose config stands for a method in the gallery.
SHOWN_DATASET = "CIFAR-100-LT, IF 100"
# Columns of the overview: datasets of the metafiles, each split by backbone.
DATASETS = {
    "CIFAR-10-LT, IF 100": "CIFAR-10-LT",
    "CIFAR-100-LT, IF 100": "CIFAR-100-LT",
    "ImageNet-LT": "ImageNet-LT",
    "iNaturalist 2018": "iNat 2018",
    "Places-LT": "Places-LT",
}
SMALL_NETWORK = "r20"
"""The variant whose runs are compared on the leaderboard."""
COMMON_VARIANTS = {SMALL_NETWORK, "folders"}
"""Variants of all its rows, which name none."""
METRICS = ("overall", "many", "medium", "few", "ece")
METRIC_HEADER = ("Ours", "Many", "Medium", "Few", "ECE")
GLT_METRICS = tuple(glt_name(column.key) for column in GLT_COLUMNS.values())
HEADER = ("Config", "Data", "Published", "Source", *METRIC_HEADER, "Runs")
NOTE = """\
Top-1 accuracy and expected calibration error in percent. *Published*: overall (many / medium / few). *Ours*: full
schedules, after the last epoch, never the best epoch on the test set; ± is the standard deviation over seeds. † trained
by an earlier recipe: the `note` of the file says what changed since. Short schedules: `results/README.md`."""
GLT_HEADER = (*HEADER[:4], *GLT_COLUMNS, "Runs")
GLT_NOTE = """\
Accuracy and class-mean precision in percent on the test sets of the protocols CLT and GLT (trained on Train-GLT) and
ALT (`:alt`, trained on Train-CBL). *Published*: accuracy / precision. Ours: full schedules, after the last epoch; ± is
the standard deviation over seeds."""
SMOKE_HEADER = ("Config", "Data", "Epochs", *METRIC_HEADER, "Seeds", "Minutes", "Hardware")
GALLERY_HEADER = ("Method", "Idea", "Config", "Command", "Epochs", "Parameters", "Published", "Ours")
SMOKE_GLT_HEADER = (*SMOKE_HEADER[:3], *GLT_COLUMNS, *SMOKE_HEADER[-3:])
LEADERBOARD_HEADER = ("Method", "Overall", *METRIC_HEADER[1:], "Minutes", "Seeds", "Command")
GLT_BOARD_METRICS = (*GLT_METRICS, "gap_accuracy", "glt_lowest_tenth")
GLT_BOARD_HEADER = ("Method", *GLT_COLUMNS, "Gap", "Lowest tenth", "Minutes", "Seeds", "Command")
BALANCED_VARIANT = "alt"
"""The variant that trains on Train-CBL, whose runs stand in the row of the config."""
DETECTION = "Object Detection"
DETECTION_NOTE = """\
Percent, after the last iteration, by the 11-point metric of VOC 2007; ± is the standard deviation over seeds.
Published: SBCL, Tab. 3, pre-training on ImageNet-LT. Configs with other data or schedules do not compare with them.
† trained by an earlier recipe: the `note` of the results says what has changed since."""
EARLIER_RECIPE = "Earlier recipe:"
"""How the note of a run begins that says what of its recipe has changed since."""
BASELINE = "Cross-entropy"
# What the leaderboard's runs are asked for, and whether more is better.
CRITERIA = {
    "Accuracy, all classes alike": ("overall", True),
    "Rare classes (few)": ("few", True),
    "Medium classes": ("medium", True),
    "Frequent classes (many)": ("many", True),
    "Calibration (ECE)": ("ece", False),
}
NUM_BEST = 4
ADVICE = "CONTRIBUTING.md describes what it must hold."
COLLECTION_KEYS = {"Name", "Family", "Idea", "README"}
MODEL_KEYS = {"Name", "In Collection", "Config", "Results"}
METADATA_KEYS = {"Epochs", "Parameters"}
RESULT_KEYS = {"Task", "Dataset"}
OPTIONAL_RESULT_KEYS = {"Published", "Data"}
OVERALL_KEYS = {"overall", "many", "medium", "few"}
RUN_OPTIONS = re.compile(r"(?:@(?P<data>[^+]+))?(?:\+short(?P<shorten>\d+))?_seed(?P<seed>\d+)")


Run = dict[str, Any]
"""A file of ``results``, with its ``path``, and ``data`` and ``shorten`` of its name."""


class Result(NamedTuple):
    """A dataset that a config is evaluated on.

    Args:
        config (str): The config with its variants, as the tools take it.
        collection (dict): The method, as in the metafile.
        task (str): ``Image Classification`` or ``Object Detection``.
        dataset (str): Name of the dataset, with the imbalance factor.
        published (dict | None): The published numbers with their ``source``.
        runs (list[Run]): Our runs.
        metadata (dict): What the metafile states of the config: ``Epochs`` and ``Parameters``.
        is_recipe (bool): Whether the metafile lists the config on its own data: runs of other data or variants are an
            aside, which a method's table shows for a full schedule only.
    """

    config: str
    collection: dict[str, Any]
    task: str
    dataset: str
    published: dict[str, Any] | None
    runs: list[Run]
    metadata: dict[str, Any]
    is_recipe: bool = True

    @property
    def is_glt(self) -> bool:
        """Whether it is of a generalized long-tailed benchmark."""
        return "-GLT" in self.dataset

    @property
    def full_runs(self) -> list[Run]:
        """Runs of the full schedule."""
        return [run for run in self.runs if run["schedule"] == "full"]

    def link(self, page: Path, text: str) -> str:
        """Link to the config from a page.

        Args:
            page (Path): The page.
            text (str): Text of the link.
        """
        return f"[{text}]({_relative(parse_spec(self.config).path, page)})"


class Entry(NamedTuple):
    """A row of the leaderboard.

    Args:
        name (str): The method, with what tells its rows apart.
        result (Result): Config and method.
        runs (list[Run]): Those of its runs that are compared.
    """

    name: str
    result: Result
    runs: list[Run]


class Method:
    """A method folder: its README, its metafile and the runs of its configs.

    Args:
        metafile (Path): A metafile.yml.
        runs (Mapping[str, list[Run]]): All files of ``results``, by config.

    Raises:
        UserInputError: If the metafile does not follow the schema.
    """

    def __init__(self, metafile: Path, runs: Mapping[str, list[Run]]) -> None:
        self.metafile = metafile
        self.readme = metafile.with_name("README.md")
        content = read_yaml(metafile, ADVICE)
        with refuse_unreadable(metafile, "a metafile", ADVICE):
            self.collections = {collection["Name"]: collection for collection in content["Collections"]}
            for collection in self.collections.values():
                self._check_collection(collection)
            self.models = content["Models"]
            for model in self.models:
                self._check_model(model)
            specs = [model["Config"] for model in self.models]
            self._require(len(specs) == len({*specs}), "Models must name a config with its variants once")
            named = {parse_spec(spec).path for spec in specs}
            existing = {str(path.relative_to(ROOT)) for path in metafile.parent.glob("*.py")}
            self._require(named == existing, f"Models must name each config; differs: {named ^ existing}")
            self.results = list(self._listed(runs))
            self.results += self._found({spec: runs[spec] for spec in runs if parse_spec(spec).path in named})

    def _check_collection(self, collection: dict[str, Any]) -> None:
        name = collection["Name"]
        missing = COLLECTION_KEYS - set(collection)
        self._require(not missing, f"the collection {name} needs {sorted(missing)}")
        family, idea = collection["Family"], collection["Idea"]
        known = (*FAMILIES, *NO_METHODS)
        self._require(family in known, f"Family {family!r} of {name} must be one of: {'; '.join(known)}")
        is_short = isinstance(idea, str) and 0 < len(idea) <= MAX_IDEA and not {*"|\n"} & {*idea}
        self._require(is_short, f"Idea of {name} must be one sentence of at most {MAX_IDEA} characters without '|'")

    def _check_model(self, model: dict[str, Any]) -> None:
        name, spec = model.get("Name"), model["Config"]
        keys = {*model} - {"Metadata"}
        self._require(keys == MODEL_KEYS, f"{name} has the keys {sorted(keys)}, not {MODEL_KEYS}")
        self._require(model["In Collection"] in self.collections, f"unknown collection {model['In Collection']}")
        config = ROOT / parse_spec(spec).path
        self._require(config.is_file() and config.parent == self.metafile.parent, f"no {spec} in this folder")
        self._require(name == run_name(spec), f"wrong name {name}")
        for result in model["Results"]:
            extra = set(result) - RESULT_KEYS - OPTIONAL_RESULT_KEYS
            self._require(not extra and set(result) >= RESULT_KEYS, f"{name}: wrong keys {sorted(result)}")
            if "Published" in result and result["Task"] != DETECTION:
                self._check_published(name, result["Published"])
        data = [result.get("Data") for result in model["Results"]]
        self._require(len(data) == len({*data}), f"{name}: Results must be one for each Data")

    def _check_published(self, name: str | None, published: dict[str, Any]) -> None:
        """Refuse what is neither accuracies of groups of classes nor pairs of accuracy and precision of protocols."""
        found = {key: value for key, value in published.items() if key != "source"}
        are_pairs = all(isinstance(value, list) and len(value) == 2 for value in found.values())
        is_known = {*found} <= {*PROTOCOLS} and are_pairs if "overall" not in found else {*found} <= OVERALL_KEYS
        numbers = [value for entry in found.values() for value in (entry if isinstance(entry, list) else [entry])]
        self._require(
            bool(found) and is_known and all(isinstance(value, int | float) for value in numbers),
            f"Published of {name} must have overall, and perhaps many, medium and few, or [accuracy, precision] of "
            f"some of {', '.join(PROTOCOLS)}",
        )

    def _listed(self, runs: Mapping[str, list[Run]]) -> Iterator[Result]:
        """What the metafile lists, with the runs of it."""
        for model in self.models:
            spec = model["Config"]
            for result in model["Results"]:
                data = result.get("Data")
                yield Result(
                    spec,
                    self.collections[model["In Collection"]],
                    result["Task"],
                    result["Dataset"],
                    result.get("Published"),
                    [run for run in runs.get(spec, []) if run["data"] == data],
                    model.get("Metadata", {}),
                    data is None,
                )

    def _found(self, runs: Mapping[str, list[Run]]) -> Iterator[Result]:
        """Runs of other variants and data, told by those of the listed model that has most of their variants."""
        listed = {run["path"] for result in self.results for run in result.runs}
        for spec, same in runs.items():
            own = parse_spec(spec)
            for data, group in groupby((run for run in same if run["path"] not in listed), lambda run: run["data"]):
                near = [result for result in self.results if {*parse_spec(result.config)[1]} <= {*own.variants}]
                near = [result for result in near if parse_spec(result.config).path == own.path and result.is_recipe]
                self._require(bool(near), f"{spec} has runs, so its model needs Results")
                base = max(near, key=lambda result: len(parse_spec(result.config).variants))
                others = [name for name in own.variants if name not in parse_spec(base.config).variants]
                dataset = ", ".join([base.dataset, *others, *([data] if data else [])])
                yield base._replace(config=spec, dataset=dataset, published=None, runs=[*group], is_recipe=False)

    def _require(self, holds: bool, message: str) -> None:
        if not holds:
            raise UserInputError(f"{self.metafile.relative_to(ROOT)}: {message}.")


def method_table(method: Method) -> str:
    """All configs of a method with published numbers and full runs, for its own README.

    Args:
        method (Method): The method; of detectors the table is by the backbone that they start from.
    """
    if detection := [result for result in method.results if result.task == DETECTION]:
        rows = [row for result in detection for row in _detection_rows(result, method.readme)]
        published = f"Published {' / '.join(AVERAGE_PRECISIONS)}"
        header = ("Config", "Backbone", *AVERAGE_PRECISIONS, published, "Seeds")
        return f"{markdown_table(header, rows, range(2, len(header) - 1))}\n\n{DETECTION_NOTE}"
    shown = [result for result in method.results if result.published or result.full_runs or result.is_recipe]
    kinds = (
        ([result for result in shown if not result.is_glt], METRICS, HEADER, NOTE),
        ([result for result in shown if result.is_glt], GLT_METRICS, GLT_HEADER, GLT_NOTE),
    )
    return "\n\n".join(
        f"{markdown_table(header, rows, [2, *range(4, len(header) - 1)])}\n\n{note}"
        for results, metrics, header, note in kinds
        if (rows := [_method_row(result, metrics, method.readme) for result in results])
    )


def _method_row(result: Result, metrics: Sequence[str], page: Path) -> tuple[str, ...]:
    return (
        result.link(page, Path(result.config).name),
        result.dataset,
        _published(result.published),
        (result.published or {}).get("source", "-"),
        *_metrics(result.full_runs, metrics),
        _seeds(result.full_runs, page),
    )


def gallery(results: Sequence[Result]) -> str:
    """All methods by family, each with one config, and published numbers on the large datasets, for docs/methods.md.

    Args:
        results (Sequence[Result]): Those of all methods.
    """
    shown = {result.collection["Name"]: _shown(results, result.collection) for result in results}
    sections = []
    for family in FAMILIES:
        rows = [_gallery_row(result) for result in shown.values() if result.collection["Family"] == family]
        if rows:
            sections.append(f"## {family}\n\n{markdown_table(GALLERY_HEADER, rows, range(4, 8))}")
    sections.append(f"## Published numbers by dataset\n\n{overview(results)}")
    if benchmarks := glt_overview(results):
        sections.append(f"## Published numbers on GLT benchmarks\n\n{benchmarks}")
    return "\n\n".join(sections)


def _shown(results: Sequence[Result], collection: dict[str, Any]) -> Result:
    """The result that stands for a method: on CIFAR-100-LT, with a number if there is one."""
    own = [result for result in results if result.collection["Name"] == collection["Name"]]
    return max(
        own, key=lambda result: (result.is_recipe, SHOWN_DATASET in result.dataset, result.published is not None)
    )


def _gallery_row(result: Result) -> tuple[str, ...]:
    page = ROOT / GALLERY_PAGE
    collection, published = result.collection, result.published
    paper = "" if (paper := _paper(collection)) == "-" else f", {paper}"
    numbers = f"{_published(published, groups=())} ({published['source']})" if published else "-"
    ours = _overall(result)
    size = f"{result.metadata['Parameters'] / 1e6:.3f} M"
    link = result.link(page, Path(result.config).name)
    command = f"`python tools/train.py {result.config}`"
    method, epochs = f"{_folder_link(collection, page)}{paper}", str(result.metadata["Epochs"])
    return (method, collection["Idea"], link, command, epochs, size, numbers, ours)


def _overall(result: Result) -> str:
    """Accuracy of our full runs; of GLT benchmarks that of each protocol."""
    names = {"overall": ""}
    if result.is_glt:
        names = {name: f"{name[:3].upper()} " for name in GLT_METRICS if name.endswith("accuracy")}
    values = {key: [run["metrics"][key] for run in result.full_runs if key in run["metrics"]] for key in names}
    return ", ".join(f"{names[key]}{mean_and_spread(found)}" for key, found in values.items() if found) or "-"


def overview(results: Sequence[Result]) -> str:
    """Methods by datasets, ``published/ours``, for docs/methods.md.

    Args:
        results (Sequence[Result]): Those of all methods.
    """
    page = ROOT / GALLERY_PAGE
    columns: dict[tuple[str, str], None] = {}
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for dataset in DATASETS:
        for result in results:
            if result.dataset != dataset or parse_spec(result.config).variants:
                continue
            column = (dataset, Path(result.config).stem.split("_")[1])
            if result.published or result.full_runs:
                columns[column] = None
            published = f"{result.published['overall']:.1f}" if result.published else "-"
            ours = mean_and_spread([run["metrics"]["overall"] for run in result.full_runs]).replace(" ", "")
            name = result.collection["Name"]
            cells.setdefault(name, {})[column] = f"{result.link(page, published)}/{ours}"
    header = ("Method", *(f"{DATASETS[dataset]}, {backbone.upper()}" for dataset, backbone in columns))
    collections = {result.collection["Name"]: result.collection for result in results}
    rows = [
        (_folder_link(collections[name], page), *(cells[name].get(c, "") for c in columns))
        for name in collections
        if name in cells
    ]
    return markdown_table(header, rows, range(1, len(header)))


def glt_overview(results: Sequence[Result]) -> str:
    """Published accuracy / precision of methods by GLT benchmark and protocol, for docs/methods.md.

    Args:
        results (Sequence[Result]): Those of all methods. ALT stands in the row of CLT and GLT.
    """
    published = [result for result in results if result.is_glt and result.published]
    columns = dict.fromkeys((_benchmark(result), protocol) for result in published for protocol in PROTOCOLS)
    rows: dict[str, tuple[Result, dict[tuple[str, str], str]]] = {}
    for result in published:
        path, variants = parse_spec(result.config)
        method, network, *_ = Path(path).stem.split("_")
        own = [name for name in variants if name != BALANCED_VARIANT]
        _, cells = rows.setdefault(f"{' '.join([method, *own])}, {network.upper()}", (result, {}))
        numbers = result.published or {}
        for protocol in numbers.keys() & {*PROTOCOLS}:
            cells[_benchmark(result), protocol] = " / ".join(f"{value:.1f}" for value in numbers[protocol])
    header = ("Config", *(f"{benchmark} {protocol.upper()}" for benchmark, protocol in columns))
    page = ROOT / GALLERY_PAGE
    table = [(first.link(page, name), *(cells.get(c, "") for c in columns)) for name, (first, cells) in rows.items()]
    return markdown_table(header, table, range(1, len(header))) if table else ""


def _benchmark(result: Result) -> str:
    return result.dataset.partition(",")[0]


def leaderboard(results: Sequence[Result]) -> str:
    """Runs with the small network, the best first: digits, CIFAR-LT with a short schedule, GLT benchmarks.

    Args:
        results (Sequence[Result]): Those of all methods.
    """
    rankings = {title: _ranking(entries) for title, entries in _compared(results).items()}
    rankings |= {title: _glt_ranking(entries) for title, entries in _compared_glt(results).items()}
    return "\n\n".join(f"## {title}\n\n{ranking}" for title, ranking in rankings.items())


def choices(results: Sequence[Result]) -> str:
    """The best methods of the leaderboard by what they are wanted for, for docs/choosing_a_method.md.

    Args:
        results (Sequence[Result]): Those of all methods.
    """
    columns = {title: entries for title, entries in _compared(results).items() if entries}
    if not columns:
        return "No runs yet."
    rows = [
        (wanted, *(_best(entries, metric, more) for entries in columns.values()))
        for wanted, (metric, more) in CRITERIA.items()
    ]
    return markdown_table(("Wanted", *columns), rows, ())


def _compared(results: Sequence[Result]) -> dict[str, list[Entry]]:
    """Runs of the small network that may be compared, by what they are of."""
    small = [result for result in results if SMALL_NETWORK in parse_spec(result.config).variants]
    digits = [(result, result.full_runs) for result in small if "digits" in result.dataset]
    short = [(result, [run for run in result.runs if run["schedule"] == "short"]) for result in small]
    found = {"UCI digits, imbalance factor 50": _named(digits)}
    for name in ("CIFAR-10-LT", "CIFAR-100-LT"):
        cifar = [(result, runs) for result, runs in short if name in result.dataset]
        found[f"{name}, imbalance factor 100, short schedule"] = _named(cifar)
    return found


def _compared_glt(results: Sequence[Result]) -> dict[str, list[Entry]]:
    """Runs of the small network on GLT benchmarks, by benchmark and schedule; ALT in the row of CLT and GLT."""
    tables: dict[str, dict[tuple[str, ...], tuple[Result, list[Run]]]] = {}
    # The config before its variant, whose link and command stand for both.
    for result in sorted(results, key=lambda result: BALANCED_VARIANT in parse_spec(result.config).variants):
        path, variants = parse_spec(result.config)
        if result.is_glt and SMALL_NETWORK in variants:
            row = (path, *(name for name in variants if name != BALANCED_VARIANT))
            for run in result.runs:
                data = f", data {run['data']}" if run["data"] else ""
                short = f", schedule {run['shorten']} times shorter" if run["shorten"] else ""
                table = tables.setdefault(_benchmark(result) + data + short, {})
                table.setdefault(row, (result, []))[1].append(run)
    return {title: _named([*rows.values()]) for title, rows in sorted(tables.items())}


def _named(found: Sequence[tuple[Result, list[Run]]]) -> list[Entry]:
    """Those with runs, called by their method and variants, and by their config where a method has several."""
    found = [(result, runs) for result, runs in found if runs]
    files = {(result.collection["Name"], parse_spec(result.config).path) for result, _ in found}
    counts = Counter(method for method, _ in files)
    entries = []
    for result, runs in found:
        method, (path, variants) = result.collection["Name"], parse_spec(result.config)
        config = [f"({Path(path).stem.partition('_')[0]})"] if counts[method] > 1 else []
        own = [name for name in variants if name not in {*COMMON_VARIANTS, BALANCED_VARIANT}]
        entries.append(Entry(" ".join([method, *config, *own]), result, runs))
    return entries


def _best(entries: Sequence[Entry], metric: str, more: bool) -> str:
    """The best methods by a metric, and the baseline."""
    known = [entry for entry in entries if all(metric in run["metrics"] for run in entry.runs)]
    ranked = sorted(known, key=lambda entry: _mean(entry, metric), reverse=more)
    shown = ranked[:NUM_BEST] + [entry for entry in ranked[NUM_BEST:] if entry.name == BASELINE]
    cells = (f"{entry.name} {mean_and_spread([run['metrics'][metric] for run in entry.runs])}" for entry in shown)
    return "; ".join(cells) or "-"


def _mean(entry: Entry, metric: str) -> float:
    return fmean(run["metrics"][metric] for run in entry.runs)


def _ranking(entries: Sequence[Entry]) -> str:
    page = ROOT / LEADERBOARD_PAGE
    rows = []
    for entry in sorted(entries, key=lambda entry: _mean(entry, "overall"), reverse=True):
        name, runs = entry.result.link(page, entry.name), entry.runs
        minutes = f"{fmean(map(_seconds, runs)) / 60:.1f}"
        rows.append((name, *_metrics(runs), minutes, _seeds(runs, page), f"`{_command(runs[0])}`"))
    return markdown_table(LEADERBOARD_HEADER, rows, range(1, 7)) if rows else "No runs yet."


def _glt_ranking(entries: Sequence[Entry]) -> str:
    page = ROOT / LEADERBOARD_PAGE
    rows = []
    for entry in sorted(entries, key=_glt_accuracy, reverse=True):
        balanced = [run for run in entry.runs if "alt_accuracy" in run["metrics"]]
        others = [run for run in entry.runs if run not in balanced]
        seeds = "; ".join(f"{label}{_seeds(runs, page)}" for label, runs in (("", others), ("ALT: ", balanced)) if runs)
        name, runs = entry.result.link(page, entry.name), others or balanced
        minutes = f"{fmean(map(_seconds, runs)) / 60:.1f}"
        rows.append((name, *_metrics(entry.runs, GLT_BOARD_METRICS), minutes, seeds, f"`{_command(runs[0])}`"))
    return markdown_table(GLT_BOARD_HEADER, rows, range(1, len(GLT_BOARD_HEADER) - 2)) if rows else "No runs yet."


def _glt_accuracy(entry: Entry) -> float:
    """Accuracy of the protocol GLT; below all others where only ALT was run."""
    return fmean([run["metrics"]["glt_accuracy"] for run in entry.runs if "glt_accuracy" in run["metrics"]] or [-1.0])


def smoke_table(results: Sequence[Result]) -> str:
    """Short runs with the command of each, for results/README.md.

    Args:
        results (Sequence[Result]): Those of all methods.
    """
    page = ROOT / SMOKE_PAGE
    short = {id(result): [run for run in result.runs if run.get("schedule") == "short"] for result in results}
    tables, commands = [], []
    for is_glt, metrics, header in ((False, METRICS, SMOKE_HEADER), (True, GLT_METRICS, SMOKE_GLT_HEADER)):
        rows = []
        for result in results:
            if result.is_glt != is_glt:
                continue
            for spelling, same in groupby(short[id(result)], key=_spelling):
                runs = list(same)
                hardware = ", ".join(dict.fromkeys(run["hardware"] for run in runs))
                minutes = "/".join(f"{run['time_s'] / 60:.0f}" for run in runs)
                epochs = " / ".join(dict.fromkeys(map(_epochs, runs)))
                numbers = (*_metrics(runs, metrics), _seeds(runs, page), minutes, hardware)
                rows.append((result.link(page, spelling), result.dataset, epochs, *numbers))
                commands += [f"git checkout {run['commit'][:10]} && {run['command']}" for run in runs]
        if rows or not is_glt:
            tables.append(markdown_table(header, rows, [*range(3, len(header) - 3), len(header) - 2]))
    table = "\n\n".join(tables)
    return f"{table}\n\nCommands, each with the commit that it ran at:\n\n```bash\n" + "\n".join(commands) + "\n```"


def _detection_rows(result: Result, page: Path) -> Iterator[tuple[str, ...]]:
    published = result.published or {}
    runs = [RunResult(run["backbone"]["name"], run["seed"], run["metrics"]) for run in result.runs]
    methods = [key for key in published if key != "source"]
    names = list(dict.fromkeys([*methods, *(run.row for run in runs)]))
    papers = {name: transfer_cell(name, published) for name in names}
    marked = {run["backbone"]["name"] for run in result.runs if _mark(run)}
    for name, (*row, seeds) in zip(names, result_rows(names, runs, AVERAGE_PRECISIONS, papers), strict=True):
        yield (result.link(page, Path(result.config).stem), *row, seeds + ("†" if name in marked else ""))


def _relative(path: str | Path, page: Path) -> str:
    return os.path.relpath(ROOT / path, page.parent)


def _metrics(runs: Sequence[dict[str, Any]], names: Sequence[str] = METRICS) -> Iterator[str]:
    return (mean_and_spread([run["metrics"][name] for run in runs if name in run["metrics"]]) for name in names)


def _seeds(runs: Sequence[dict[str, Any]], page: Path) -> str:
    return ", ".join(f"[seed {run['seed']}]({_relative(run['path'], page)}){_mark(run)}" for run in runs) or "-"


def _mark(run: dict[str, Any]) -> str:
    """A dagger where the recipe has changed since."""
    return "†" if EARLIER_RECIPE in run.get("note", "") else ""


def _epochs(run: dict[str, Any]) -> str:
    """Epochs of all stages, ``1000 + 200``."""
    earlier = run.get("previous_stage")
    return (f"{_epochs(earlier)} + " if earlier else "") + str(run["epochs"])


def _published(numbers: dict[str, Any] | None, groups: Sequence[str] = ("many", "medium", "few")) -> str:
    if numbers is None:
        return "-"
    if "overall" not in numbers:
        return published_protocols(numbers)
    of_groups = [f"{numbers[group]:.1f}" for group in groups if group in numbers]
    return f"{numbers['overall']:.1f}" + (f" ({' / '.join(of_groups)})" if of_groups else "")


def _folder_link(collection: dict[str, Any], page: Path) -> str:
    return f"[{collection['Name']}]({_relative(Path(collection['README']).parent, page)})"


def _paper(collection: dict[str, Any]) -> str:
    paper = collection.get("Paper")
    if paper is None:
        return "-"
    return f"[{paper['Venue']}]({paper['URL']})" if "URL" in paper else paper["Venue"]


def _spelling(run: Run) -> str:
    """The config of a run with the options that its file is named by, ``CONFIG.py:VARIANT --data DATA --shorten N``."""
    return run["config"].removeprefix("configs/") + _options(run)


def _command(run: Run) -> str:
    return f"python tools/train.py {run['config']}{_options(run)}"


def _options(run: Run) -> str:
    return "".join(f" --{name} {run[name]}" for name in ("data", "shorten") if run[name])


def _seconds(run: Run) -> float:
    """Time of all stages."""
    earlier = run.get("previous_stage")
    return float(run["time_s"]) + (_seconds(earlier) if earlier else 0)


def fill(page: Path, content: str) -> tuple[str, str]:
    """The page as it is, and with the content between its markers."""
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise UserInputError(f"{page.relative_to(ROOT)} needs the lines {BEGIN} and {END} where its table goes.")
    return text, f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def pages(methods: Sequence[Method]) -> Iterator[tuple[Path, str]]:
    """Each page with its table."""
    for method in methods:
        with refuse_unreadable(method.metafile, "a metafile with its results", ADVICE):
            yield method.readme, method_table(method)
    results = [result for method in methods for result in method.results]
    tables: dict[str, Callable[[Sequence[Result]], str]] = {
        SMOKE_PAGE: smoke_table,
        GALLERY_PAGE: gallery,
        LEADERBOARD_PAGE: leaderboard,
        CHOICE_PAGE: choices,
    }
    for page, table in tables.items():
        with refuse_unreadable(ROOT / page, "a page with results", ADVICE):
            yield ROOT / page, table(results)


def read_runs() -> dict[str, list[Run]]:
    """All files of results/, by the config that they ran.

    Raises:
        UserInputError: If a file is no result, or is not named as its run.
    """
    runs: dict[str, list[Run]] = {}
    advice = "write it again with tools/sweep.py --record."
    for path in sorted((ROOT / "results").rglob("*.json")):
        run = read_json(path, advice)
        with refuse_unreadable(path, "a result", advice):
            name = run_name(run["config"]) + (f"_{run['backbone']['name']}" if "backbone" in run else "")
            options = RUN_OPTIONS.fullmatch(str(path.relative_to(ROOT / "results").with_suffix("")).removeprefix(name))
            if options is None or int(options["seed"]) != run["seed"]:
                raise UserInputError(
                    f"{path.relative_to(ROOT)} must be called {name}[@DATA][+shortN]_seed{run['seed']}.json."
                )
            named = {"path": str(path.relative_to(ROOT)), "data": options["data"], "shorten": options["shorten"]}
            runs.setdefault(run["config"], []).append({**run, **named})
    return {config: sorted(same, key=_order) for config, same in runs.items()}


def _order(run: Run) -> tuple[str, str, int]:
    return run["data"] or "", run["shorten"] or "", run["seed"]


def check_all_runs_are_shown(runs: Mapping[str, list[Run]], methods: Sequence[Method]) -> None:
    """Every file of results/ belongs to a method, so that none is forgotten or hidden."""
    shown = {run["path"] for method in methods for result in method.results for run in result.runs}
    if lost := sorted({run["path"] for same in runs.values() for run in same} - shown):
        raise UserInputError(f"no metafile.yml is beside the configs of {lost}.")


def unmeasured(methods: Sequence[Method]) -> dict[Path, list[str]]:
    """Configs whose metafile does not state epochs and network: files of classifiers, and what the gallery shows."""
    results = [result for method in methods for result in method.results]
    shown = {_shown(results, result.collection).config for result in results}
    return {
        method.metafile: configs
        for method in methods
        if (
            configs := [
                model["Config"]
                for model in method.models
                if method.collections[model["In Collection"]]["Family"] != "Detection"
                if not parse_spec(model["Config"]).variants or model["Config"] in shown
                if set(model.get("Metadata", ())) != METADATA_KEYS
            ]
        )
    }


def add_metadata(metafile: Path, configs: Sequence[str]) -> None:
    """Write epochs and size of the network of configs into their metafile, behind their ``Config``.

    Args:
        metafile (Path): The metafile.
        configs (Sequence[str]): Configs that it lists.

    Raises:
        UserInputError: If a config cannot be read.
    """
    text = metafile.read_text(encoding="utf-8")
    for config in configs:
        line = f"    Config: {config}\n"
        known = re.compile(f"{re.escape(line)}(?:    Metadata:.*\\n)?")
        values = ", ".join(f"{key}: {value}" for key, value in measure(config).items())
        text = known.sub(f"{line}    Metadata: {{{values}}}\n", text)
    atomic_write(metafile, text.encode())
    print(f"wrote {metafile.relative_to(ROOT)}")


def measure(config: str) -> dict[str, int | str]:
    """Epochs of all stages of a config, ``200 + 10``, and the parameters that a prediction of the last one reads.

    Args:
        config (str): The config with its variants, relative to the repository.

    Raises:
        UserInputError: If it cannot be read.
    """
    import torch

    import lt_plugins.plugins  # noqa: F401
    from lt_plugins.datasets.pipelines import find_test_pipeline
    from lt_plugins.models.build import build_model
    from lt_plugins.models.network_size import count_predicting_parameters
    from lt_plugins.runs.config import read_stages

    stages = read_stages(str(ROOT / config))
    epochs = [stage.train_cfg.get("max_epochs", 0) for stage in stages]
    model, side = build_model(stages[-1]), 32
    if any(hasattr(module, "map_size") for module in model.modules()):  # it takes images of one size
        pipeline = find_test_pipeline(stages[-1]) or []
        side = next((step["crop_size"] for step in pipeline if step["type"] == "CenterCrop"), side)
    size = count_predicting_parameters(model, torch.zeros(1, 3, side, side))
    total = " + ".join(str(number) for number in epochs if number)
    return {"Epochs": int(total) if total.isdecimal() else total, "Parameters": size}


def main(argv: Sequence[str] | None = None) -> None:
    """Write or check the tables."""
    with user_errors():
        parser = ToolParser(description=__doc__.splitlines()[0] if __doc__ else None)
        parser.add_argument("--check", action="store_true", help="exit with 1 if a table is not up to date")
        args = parser.parse_args(argv)
        metafiles = sorted((ROOT / "configs").rglob("metafile.yml"))
        runs = read_runs()
        methods = [Method(path, runs) for path in metafiles]
        for metafile, configs in unmeasured(methods).items():
            if args.check:
                raise UserInputError(
                    f"{metafile.relative_to(ROOT)} has no Metadata of {configs}; run: make results-table"
                )
            add_metadata(metafile, configs)
            methods[metafiles.index(metafile)] = Method(metafile, runs)
        check_all_runs_are_shown(runs, methods)
        for page, content in pages(methods):
            old, new = fill(page, content)
            if old != new and args.check:
                raise UserInputError(f"the table of {page.relative_to(ROOT)} is out of date; run: make results-table")
            if old != new:
                atomic_write(page, new.encode())
                print(f"wrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
