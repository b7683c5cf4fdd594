"""Write the tables of the READMEs from configs/**/metafile.yml and results/; --check only compares.

CONTRIBUTING.md describes the metafile and the results files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, user_errors
from lt_plugins.runs.published import transfer_cell
from lt_plugins.runs.spec import parse_spec, run_name
from lt_plugins.runs.tables import DETECTION as AVERAGE_PRECISIONS
from lt_plugins.runs.tables import Result as RunResult
from lt_plugins.runs.tables import markdown_table, mean_and_spread, result_rows
from lt_plugins.unreadable import read_json, read_yaml, refuse_unreadable

ROOT = Path(__file__).resolve().parents[2]
BEGIN = "<!-- begin results: written by `make results-table` -->"
END = "<!-- end results -->"
SMOKE_PAGE = "results/README.md"
# Columns of the main README: datasets of the metafiles, each split by backbone.
DATASETS = {
    "CIFAR-10-LT, IF 100": "CIFAR-10-LT",
    "CIFAR-100-LT, IF 100": "CIFAR-100-LT",
    "ImageNet-LT": "ImageNet-LT",
    "iNaturalist 2018": "iNat 2018",
    "Places-LT": "Places-LT",
}
METRICS = ("overall", "many", "medium", "few", "ece")
METRIC_HEADER = ("Ours", "Many", "Medium", "Few", "ECE")
HEADER = ("Config", "Data", "Published", "Source", *METRIC_HEADER, "Runs")
NOTE = """\
Top-1 accuracy and expected calibration error in percent. *Published*: overall (many / medium / few). *Ours*: full
schedules, after the last epoch, never the best epoch on the test set; ± is the standard deviation over seeds. † trained
by an earlier recipe: the `note` of the file says what changed since. Short schedules: `results/README.md`."""
SMOKE_HEADER = ("Config", "Data", "Epochs", *METRIC_HEADER, "Seeds", "Minutes", "Hardware")
MAIN_NOTE = """\
Top-1 accuracy in percent, published/ours. CIFAR: imbalance factor 100. Ours is filled by runs of the full schedule;
[smoke runs](results/README.md) are listed apart."""
DETECTION = "Object Detection"
DETECTION_NOTE = """\
Percent, after the last iteration, by the 11-point metric of VOC 2007; ± is the standard deviation over seeds.
Published: SBCL, Tab. 3, pre-training on ImageNet-LT. Configs with other data or schedules do not compare with them.
† trained by an earlier recipe: the `note` of the results says what has changed since."""
EARLIER_RECIPE = "Earlier recipe:"
"""How the note of a run begins that says what of its recipe has changed since."""
ADVICE = "CONTRIBUTING.md describes what it must hold."
MODEL_KEYS = {"Name", "In Collection", "Config", "Results"}
RESULT_KEYS = {"Task", "Dataset"}
OPTIONAL_RESULT_KEYS = {"Published", "Ours"}
RUN_OPTIONS = re.compile(r"(?:@([^+]+))?(?:\+short(\d+))?_seed\d+")


class Result(NamedTuple):
    """A dataset that a config is evaluated on.

    Args:
        config (str): The config with its variants, as the tools take it.
        collection (dict): The method, as in the metafile.
        task (str): ``Image Classification`` or ``Object Detection``.
        dataset (str): Name of the dataset, with the imbalance factor.
        published (dict | None): The published numbers with their ``source``.
        runs (list[dict]): Our runs, as in ``results``, with the ``path`` of their file.
    """

    config: str
    collection: dict[str, Any]
    task: str
    dataset: str
    published: dict[str, Any] | None
    runs: list[dict[str, Any]]

    @property
    def full_runs(self) -> list[dict[str, Any]]:
        """Runs of the full schedule."""
        return [run for run in self.runs if run["schedule"] == "full"]

    def link(self, page: Path, text: str) -> str:
        """Link to the config from a page.

        Args:
            page (Path): The page.
            text (str): Text of the link.
        """
        return f"[{text}]({_relative(parse_spec(self.config).path, page)})"


class Method:
    """A method folder: its README, metafile and the results that the metafile names.

    Args:
        metafile (Path): A metafile.yml.

    Raises:
        UserInputError: If the metafile does not follow the schema, or names a file that does not exist.
    """

    def __init__(self, metafile: Path) -> None:
        self.metafile = metafile
        self.readme = metafile.with_name("README.md")
        content = read_yaml(metafile, ADVICE)
        with refuse_unreadable(metafile, "a metafile", ADVICE):
            self.results = list(self._read(content))

    def _read(self, content: dict[str, Any]) -> Iterator[Result]:
        """Check the content against the schema, and read the results that it names."""
        metafile = self.metafile
        collections = {collection["Name"]: collection for collection in content["Collections"]}
        for model in content["Models"]:
            name, spec = model.get("Name"), model["Config"]
            self._require(set(model) == MODEL_KEYS, f"{name} has the keys {sorted(model)}, not {MODEL_KEYS}")
            self._require(model["In Collection"] in collections, f"unknown collection {model['In Collection']}")
            config = ROOT / parse_spec(spec).path
            self._require(config.is_file() and config.parent == metafile.parent, f"no {spec} in this folder")
            self._require(name == run_name(spec), f"wrong name {name}")
            for result in model["Results"]:
                extra = set(result) - RESULT_KEYS - OPTIONAL_RESULT_KEYS
                self._require(not extra and set(result) >= RESULT_KEYS, f"{name}: wrong keys {sorted(result)}")
                runs = [self._load(path, spec) for path in result.get("Ours", [])]
                collection = collections[model["In Collection"]]
                yield Result(spec, collection, result["Task"], result["Dataset"], result.get("Published"), runs)
        specs = [model["Config"] for model in content["Models"]]
        self._require(len(specs) == len({*specs}), "Models must name a config with its variants once")
        named = {parse_spec(spec).path for spec in specs}
        existing = {str(path.relative_to(ROOT)) for path in metafile.parent.glob("*.py")}
        self._require(named == existing, f"Models must name each config; differs: {named ^ existing}")

    def _load(self, path: str, config: str) -> dict[str, Any]:
        self._require((ROOT / path).is_file(), f"{path} does not exist")
        advice = "write it again with tools/sweep.py --record."
        run = read_json(ROOT / path, advice)
        with refuse_unreadable(ROOT / path, "a result", advice):
            self._require(run["config"] == config, f"{path} is a run of {run['config']}, not of {config}")
        return {**run, "path": path}

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
    rows = [
        (
            result.link(method.readme, Path(result.config).name),
            result.dataset,
            _published(result.published),
            (result.published or {}).get("source", "-"),
            *_metrics(result.full_runs),
            _seeds(result.full_runs, method.readme),
        )
        for result in method.results
        if result.published or result.full_runs or not result.runs
    ]
    return f"{markdown_table(HEADER, rows, [2, *range(4, 9)])}\n\n{NOTE}"


def main_table(results: Sequence[Result]) -> str:
    """Methods by datasets, ``published/ours``, for the main README.

    Args:
        results (Sequence[Result]): Those of all methods.
    """
    page = ROOT / "README.md"
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
    header = ("Method", "Paper", *(f"{DATASETS[dataset]}, {backbone.upper()}" for dataset, backbone in columns))
    collections = {result.collection["Name"]: result.collection for result in results}
    rows = [
        (_folder_link(collections[name], page), _paper(collections[name]), *(cells[name].get(c, "") for c in columns))
        for name in collections
        if name in cells
    ]
    return f"{markdown_table(header, rows, range(2, len(header)))}\n\n{MAIN_NOTE}"


def smoke_table(results: Sequence[Result]) -> str:
    """Short runs with the command of each, for results/README.md.

    Args:
        results (Sequence[Result]): Those of all methods.
    """
    page = ROOT / SMOKE_PAGE
    rows, commands = [], []
    for result in results:
        short = [run for run in result.runs if run.get("schedule") == "short"]
        for spelling, same in groupby(short, key=_spelling):
            runs = list(same)
            hardware = ", ".join(dict.fromkeys(run["hardware"] for run in runs))
            minutes = "/".join(f"{run['time_s'] / 60:.0f}" for run in runs)
            epochs = " / ".join(dict.fromkeys(map(_epochs, runs)))
            seeds = _seeds(runs, page)
            rows.append(
                (result.link(page, spelling), result.dataset, epochs, *_metrics(runs), seeds, minutes, hardware)
            )
            commands += [f"git checkout {run['commit'][:10]} && {run['command']}" for run in runs]
    table = markdown_table(SMOKE_HEADER, rows, [*range(3, 8), 9])
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


def _metrics(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    return (mean_and_spread([run["metrics"][name] for run in runs if name in run["metrics"]]) for name in METRICS)


def _seeds(runs: Sequence[dict[str, Any]], page: Path) -> str:
    return ", ".join(f"[seed {run['seed']}]({_relative(run['path'], page)}){_mark(run)}" for run in runs) or "-"


def _mark(run: dict[str, Any]) -> str:
    """A dagger where the recipe has changed since."""
    return "†" if EARLIER_RECIPE in run.get("note", "") else ""


def _epochs(run: dict[str, Any]) -> str:
    """Epochs of all stages, ``1000 + 200``."""
    earlier = run.get("previous_stage")
    return (f"{_epochs(earlier)} + " if earlier else "") + str(run["epochs"])


def _published(numbers: dict[str, Any] | None) -> str:
    if numbers is None:
        return "-"
    groups = [f"{numbers[group]:.1f}" for group in ("many", "medium", "few") if group in numbers]
    return f"{numbers['overall']:.1f}" + (f" ({' / '.join(groups)})" if groups else "")


def _folder_link(collection: dict[str, Any], page: Path) -> str:
    return f"[{collection['Name']}]({_relative(Path(collection['README']).parent, page)})"


def _paper(collection: dict[str, Any]) -> str:
    paper = collection.get("Paper")
    if paper is None:
        return "-"
    return f"[{paper['Venue']}]({paper['URL']})" if "URL" in paper else paper["Venue"]


def _spelling(run: dict[str, Any]) -> str:
    """The config of a run with the options that its file is named by, ``CONFIG.py:VARIANT --data DATA --shorten N``."""
    name = Path(run["path"]).relative_to("results").with_suffix("").as_posix()
    options = RUN_OPTIONS.fullmatch(name.removeprefix(run_name(run["config"])))
    if options is None:
        raise UserInputError(
            f"{run['path']} must be called {run_name(run['config'])}[@DATA][+shortN]_seed{run['seed']}."
        )
    data, shorten = options.groups()
    spelling = run["config"].removeprefix("configs/")
    return spelling + (f" --data {data}" if data else "") + (f" --shorten {shorten}" if shorten else "")


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
    tables: dict[str, Callable[[Sequence[Result]], str]] = {"README.md": main_table, SMOKE_PAGE: smoke_table}
    for page, table in tables.items():
        with refuse_unreadable(ROOT / page, "a page with results", ADVICE):
            yield ROOT / page, table(results)


def check_all_results_are_named(methods: Sequence[Method]) -> None:
    """Every file of results/ belongs to a model, so that none is forgotten or hidden."""
    named = {run["path"] for method in methods for result in method.results for run in result.runs}
    existing = {str(path.relative_to(ROOT)) for path in (ROOT / "results").rglob("*.json")}
    if named != existing:
        raise UserInputError(f"no metafile.yml names {sorted(existing - named)} under Ours.")


def main(argv: Sequence[str] | None = None) -> None:
    """Write or check the tables."""
    with user_errors():
        parser = ToolParser(description=__doc__.splitlines()[0] if __doc__ else None)
        parser.add_argument("--check", action="store_true", help="exit with 1 if a table is not up to date")
        args = parser.parse_args(argv)
        methods = [Method(path) for path in sorted((ROOT / "configs").rglob("metafile.yml"))]
        check_all_results_are_named(methods)
        for page, content in pages(methods):
            old, new = fill(page, content)
            if old != new and args.check:
                raise UserInputError(f"the table of {page.relative_to(ROOT)} is out of date; run: make results-table")
            if old != new:
                atomic_write(page, new.encode())
                print(f"wrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
