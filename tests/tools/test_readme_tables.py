"""Metafiles and results files become the tables of the READMEs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tools.dev import readme_tables

METAFILE = """
Collections:
  - Name: M
    README: configs/m/README.md
Models:
  - Name: m/ce_r32_digits
    In Collection: M
    Config: configs/m/ce_r32_digits.py
    Results:
      - Task: Image Classification
        Dataset: ImageNet-LT
        Published: {overall: 50.04, many: 60, medium: 50, few: 40, source: "Tab. 1"}
        Ours: [results/a.json, results/b.json]
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one config and two runs of it."""
    markers = f"before\n{readme_tables.BEGIN}\nold\n{readme_tables.END}\nafter\n"
    runs = {name: {"overall": overall, "few": 30.0, "ece": 5.0} for name, overall in (("a", 51.0), ("b", 53.0))}
    for path, text in {
        "README.md": markers,
        "results/README.md": markers,
        "configs/m/README.md": markers,
        "configs/m/metafile.yml": METAFILE,
        "configs/m/ce_r32_digits.py": "",
        **{
            f"results/{name}.json": json.dumps(
                {
                    "config": "configs/m/ce_r32_digits.py",
                    "seed": index,
                    "schedule": "full",
                    "epochs": 30,
                    "metrics": metrics,
                }
            )
            for index, (name, metrics) in enumerate(runs.items())
        },
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(readme_tables, "ROOT", tmp_path)
    return tmp_path


def test_tables(repository: Path) -> None:
    with pytest.raises(SystemExit):
        readme_tables.main(["--check"])
    readme_tables.main([])
    text = (repository / "configs/m/README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert (
        "| [ce_r32_digits.py](ce_r32_digits.py) | ImageNet-LT | 50.0 (60.0 / 50.0 / 40.0) | Tab. 1 "
        "| 52.0 ± 1.4 | - | - | 30.0 ± 0.0 | 5.0 ± 0.0 "
        "| [seed 0](../../results/a.json), [seed 1](../../results/b.json) |\n"
    ) in text
    main = (repository / "README.md").read_text()
    assert "| Method | Paper | ImageNet-LT, R32 |\n" in main
    assert "| [M](configs/m) | - | [50.0](configs/m/ce_r32_digits.py)/52.0±1.4 |\n" in main
    assert "ce_r32_digits" not in (repository / "results/README.md").read_text()
    readme_tables.main(["--check"])


def test_short_runs_have_a_page_of_their_own(repository: Path) -> None:
    (repository / "configs/m/metafile.yml").write_text(
        METAFILE.replace("results/a.json, results/b.json", "results/m/ce_r32_digits@birds+short9_seed1.json")
    )
    run = json.loads((repository / "results/a.json").read_text())
    run |= {
        "schedule": "short",
        "commit": "c" * 40,
        "command": "python tools/train.py c.py",
        "note": "Earlier recipe: x",
    }
    run |= {"hardware": "2 cores", "time_s": 119.0, "previous_stage": {"epochs": 3}, "seed": 1}
    for file in (repository / "results").glob("*.json"):
        file.unlink()
    path = repository / "results/m/ce_r32_digits@birds+short9_seed1.json"
    path.parent.mkdir()
    path.write_text(json.dumps(run))
    readme_tables.main([])
    page = (repository / "results/README.md").read_text()
    assert (
        "| [m/ce_r32_digits.py --data birds --shorten 9](../configs/m/ce_r32_digits.py) | ImageNet-LT | 3 + 30 "
        "| 51.0 | - | - | 30.0 | 5.0 | [seed 1](m/ce_r32_digits@birds+short9_seed1.json)† | 2 | 2 cores |\n"
    ) in page
    assert "\ngit checkout cccccccccc && python tools/train.py c.py\n" in page
    assert "51.0" not in (repository / "configs/m/README.md").read_text() + (repository / "README.md").read_text()


def test_short_runs_are_named_by_their_options(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = repository / "results/a.json"
    path.write_text(path.read_text().replace('"full"', '"short"'))
    with pytest.raises(SystemExit):
        readme_tables.main([])
    assert "results/a.json must be called m/ce_r32_digits[@DATA][+shortN]_seed0." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("configs/m/metafile.yml", "results/b.json", "results/c.json", "results/c.json does not exist"),
        ("configs/m/metafile.yml", ", results/b.json", "", "names ['results/b.json'] under Ours"),
        ("configs/m/metafile.yml", "Dataset", "Data", "wrong keys"),
        ("configs/m/metafile.yml", "Name: m/", "Name: x/", "wrong name"),
        ("configs/m/metafile.yml", "In Collection: M", "In Collection: N", "unknown collection"),
        ("results/a.json", "ce_r32_digits", "other", "a run of configs/m/other.py"),
        ("README.md", "begin results", "", "needs the lines"),
        ("results/README.md", "end results", "", "needs the lines"),
    ],
)
def test_mistakes_are_named(
    repository: Path, file: str, old: str, new: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = repository / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SystemExit):
        readme_tables.main([])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["[", "[1]", "{}", "\0", '{"config": 3}', '{"config": ["a"], "metrics": 3}'], ids=range(6)
)
@pytest.mark.parametrize("file", ["results/a.json", "configs/m/metafile.yml"])
def test_foreign_files_are_one_line(file: str, text: str, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / file).write_text(text)
    with pytest.raises(SystemExit):
        readme_tables.main(["--check"])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and Path(file).parent.name in line


def test_a_config_without_model_is_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "configs/m/new.py").write_text("")
    with pytest.raises(SystemExit):
        readme_tables.main([])
    assert "new.py" in capsys.readouterr().err


def test_table_of_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    markers = f"{readme_tables.BEGIN}\n{readme_tables.END}\n"
    triple = {"AP50": 60.2, "AP": 33.8, "AP75": 33.1}
    result = {
        "Task": "Object Detection",
        "Dataset": "VOC",
        "Published": {"source": "Tab. 3", "random": triple},
        "Ours": ["results/ce_seed0.json", "results/ce_seed1.json"],
    }
    model = {"Name": "m/x", "In Collection": "M", "Config": "configs/m/x.py", "Results": [result]}
    for path, text in {
        "README.md": markers,
        "results/README.md": markers,
        "configs/m/README.md": markers,
        "configs/m/metafile.yml": yaml.safe_dump({"Collections": [{"Name": "M"}], "Models": [model]}),
        "configs/m/x.py": "",
        **{
            f"results/ce_seed{seed}.json": json.dumps(
                {
                    "config": "configs/m/x.py",
                    "seed": seed,
                    "backbone": {"name": "ce"},
                    "metrics": {"AP50": 4.0 + 2 * seed, "AP": 1.0, "AP75": 0.5},
                }
            )
            for seed in (0, 1)
        },
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(readme_tables, "ROOT", tmp_path)
    readme_tables.main([])
    table = (tmp_path / "configs/m/README.md").read_text()
    assert "| [x](x.py) | random | - | - | - | 60.2 / 33.8 / 33.1 | - |\n" in table
    assert "| [x](x.py) | ce | 5.0 ± 1.4 | 1.0 ± 0.0 | 0.5 ± 0.0 | - | 0, 1 |\n" in table
    assert "11-point metric" in table
    assert "[x]" not in (tmp_path / "README.md").read_text(), "the main table is about classifiers"
    readme_tables.main(["--check"])
