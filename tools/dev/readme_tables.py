"""Write the result tables of the READMEs from configs/**/metafile.yml and results/; --check only compares.

CONTRIBUTING.md describes the metafile and the results files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, user_errors
from lt_plugins.runs.spec import parse_spec, run_name
from lt_plugins.runs.tables import markdown_table, mean_and_spread
from lt_plugins.runs.transfer_table import NUMERIC_COLUMNS, TRANSFER_HEADER, TransferRun, transfer_rows
from lt_plugins.unreadable import read_json, read_yaml, refuse_unreadable

ROOT = Path(__file__).resolve().parents[2]
BEGIN = "<!-- begin results: written by `make results-table` -->"
END = "<!-- end results -->"
GROUPS = ("many", "medium", "few")
HEADER = ("Config", "Data", "Schedule", "Published", "Ours", "Many", "Medium", "Few", "ECE", "Runs")
NOTE = """\
Top-1 accuracy and expected calibration error in percent. *Published*: overall (many / medium / few). *Ours*: after the
last epoch, never the best epoch on the test set; ± is the standard deviation over seeds. A *short* schedule is not
comparable with published numbers. † trained by an earlier recipe: the `note` of the file says what changed since."""
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
            self._read(content)

    def _read(self, content: dict[str, Any]) -> None:
        """Check the content against the schema, and read the results that it names."""
        metafile = self.metafile
        collections = {collection["Name"] for collection in content["Collections"]}
        self.models: list[dict[str, Any]] = content["Models"]
        for model in self.models:
            self._require(
                set(model) == MODEL_KEYS, f"{model.get('Name')} has the keys {sorted(model)}, not {MODEL_KEYS}"
            )
            self._require(model["In Collection"] in collections, f"unknown collection {model['In Collection']}")
            config = ROOT / parse_spec(model["Config"]).path
            self._require(config.is_file() and config.parent == metafile.parent, f"no {model['Config']} in this folder")
            self._require(model["Name"] == run_name(model["Config"]), f"wrong name {model['Name']}")
            for result in model["Results"]:
                extra = set(result) - RESULT_KEYS - OPTIONAL_RESULT_KEYS
                self._require(not extra and set(result) >= RESULT_KEYS, f"{model['Name']}: wrong keys {sorted(result)}")
                result["runs"] = [self._load(path, model["Config"]) for path in result.get("Ours", [])]
        specs = [model["Config"] for model in self.models]
        self._require(len(specs) == len({*specs}), "Models must name a config with its variants once")
        named = {parse_spec(spec).path for spec in specs}
        existing = {str(path.relative_to(ROOT)) for path in metafile.parent.glob("*.py")}
        self._require(named == existing, f"Models must name each config; differs: {named ^ existing}")

    def rows(self) -> list[tuple[str, ...]]:
        """All configs, for the method's own README."""
        folder = self.metafile.parent
        return [_row(Path(m["Config"]).name, m, result, folder) for m, result in self._results(DETECTION, False)]

    def rows_with_runs(self) -> list[tuple[str, ...]]:
        """What we have run, for the main README."""
        rows = [(m, result) for m, result in self._results(DETECTION, False) if result["runs"]]
        return [_row(m["Config"].removeprefix("configs/"), m, result, ROOT) for m, result in rows]

    def detection_rows(self) -> list[tuple[str, ...]]:
        """All configs of detectors by the backbone that they start from."""
        rows = []
        for model, result in self._results(DETECTION, True):
            config = Path(model["Config"])
            published = result.get("Published", {})
            runs = [TransferRun(run["backbone"]["name"], run["seed"], run["metrics"]) for run in result["runs"]]
            methods = [key for key in published if key != "source"]
            names = methods + [name for name in dict.fromkeys(run.backbone for run in runs) if name not in methods]
            marked = {run["backbone"]["name"] for run in result["runs"] if _mark(run)}
            rows += [
                (f"[{config.stem}]({config.name})", *row, seeds + ("†" if name in marked else ""))
                for name, (*row, seeds) in zip(names, transfer_rows(names, runs, published), strict=True)
            ]
        return rows

    def _results(self, task: str, wanted: bool) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Models with those of their results that are (not) of a task."""
        return [(m, result) for m in self.models for result in m["Results"] if (result["Task"] == task) == wanted]

    def _load(self, path: str, config: str) -> dict[str, Any]:
        self._require((ROOT / path).is_file(), f"{path} does not exist")
        advice = "write it again with tools/dev/record_result.py."
        run = read_json(ROOT / path, advice)
        with refuse_unreadable(ROOT / path, "a result", advice):
            self._require(run["config"] == config, f"{path} is a run of {run['config']}, not of {config}")
        return {**run, "path": path}

    def _require(self, holds: bool, message: str) -> None:
        if not holds:
            raise UserInputError(f"{self.metafile.relative_to(ROOT)}: {message}.")


def _row(name: str, model: dict[str, Any], result: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """Cells of a row; links are relative to the folder."""
    runs = result["runs"]
    schedule = "-"
    if runs:
        schedule = " / ".join(sorted({f"{run['schedule']} ({_epochs(run)} epochs)" for run in runs}))
    return (
        f"[{name}]({os.path.relpath(ROOT / parse_spec(model['Config']).path, folder)})",
        result["Dataset"],
        schedule,
        _published(result.get("Published")),
        *(
            mean_and_spread([run["metrics"][name] for run in runs if name in run["metrics"]])
            for name in ("overall", *GROUPS, "ece")
        ),
        ", ".join(f"[seed {run['seed']}]({os.path.relpath(ROOT / run['path'], folder)}){_mark(run)}" for run in runs)
        or "-",
    )


def _mark(run: dict[str, Any]) -> str:
    """A dagger where the recipe has changed since."""
    return "†" if EARLIER_RECIPE in run.get("note", "") else ""


def _epochs(run: dict[str, Any]) -> str:
    """Epochs of all stages, ``1000 + 200``."""
    earlier = run.get("previous_stage")
    return (f"{_epochs(earlier)} + " if earlier else "") + str(run["epochs"])


def _published(numbers: dict[str, float] | None) -> str:
    if numbers is None:
        return "-"
    groups = [f"{numbers[group]:.1f}" for group in GROUPS if group in numbers]
    return f"{numbers['overall']:.1f}" + (f" ({' / '.join(groups)})" if groups else "")


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table with the note on what its numbers are."""
    return f"{markdown_table(HEADER, rows, range(3, 9))}\n\n{NOTE}"


def detection_table(rows: Sequence[tuple[str, ...]]) -> str:
    """The table of detectors with its note."""
    header, numeric = ("Config", *TRANSFER_HEADER), [column + 1 for column in NUMERIC_COLUMNS]
    return f"{markdown_table(header, rows, numeric)}\n\n{DETECTION_NOTE}"


def fill(page: Path, content: str) -> tuple[str, str]:
    """The page as it is, and with the content between its markers."""
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise UserInputError(f"{page.relative_to(ROOT)} needs the lines {BEGIN} and {END} where its table goes.")
    return text, f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def pages(methods: Sequence[Method]) -> list[tuple[Path, str]]:
    """Each page with its table: the methods' own, and what we have run in the main README."""
    own, run = [], []
    for method in methods:
        with refuse_unreadable(method.metafile, "a metafile with its results", ADVICE):
            found = method.detection_rows()
            own.append((method.readme, detection_table(found) if found else table(method.rows())))
            run += method.rows_with_runs()
    return [*own, (ROOT / "README.md", table(run))]


def check_all_results_are_named(methods: Sequence[Method]) -> None:
    """Every file of results/ belongs to a model, so that none is forgotten or hidden."""
    named = {
        run["path"] for method in methods for model in method.models for r in model["Results"] for run in r["runs"]
    }
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
