"""Metafiles and results files become the tables of the READMEs, the gallery and the leaderboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tool_process import ROOT
from tools.dev import readme_tables

METAFILE = """
Collections:
  - Name: M
    Family: Sampling
    Idea: Rare classes twice
    README: configs/m/README.md
Models:
  - Name: m/ce_r32_digits
    In Collection: M
    Config: configs/m/ce_r32_digits.py
    Metadata: {Epochs: 30, Parameters: 464154}
    Results:
      - Task: Image Classification
        Dataset: ImageNet-LT
        Published: {overall: 50.04, many: 60, medium: 50, few: 40, source: "Tab. 1"}
"""
CONFIG = "configs/m/ce_r32_digits.py"
PAGES = (
    "configs/m/README.md",
    "results/README.md",
    "docs/methods.md",
    "docs/leaderboard.md",
    "docs/choosing_a_method.md",
)
MARKERS = f"before\n{readme_tables.BEGIN}\nold\n{readme_tables.END}\nafter\n"


def result(seed: int, overall: float = 51.0, **changed: Any) -> str:
    """A results file."""
    run = {
        "config": CONFIG,
        "seed": seed,
        "schedule": "full",
        "epochs": 30,
        "time_s": 90.0,
        "hardware": "2 cores",
        "commit": "c" * 40,
        "command": "python tools/train.py c.py",
        "metrics": {"overall": overall, "few": 30.0, "ece": 5.0},
    }
    return json.dumps({**run, **changed})


def write(root: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one config and two runs of it."""
    runs = {f"results/m/ce_r32_digits_seed{seed}.json": result(seed, 51.0 + 2 * seed) for seed in (0, 1)}
    write(tmp_path, {**dict.fromkeys(PAGES, MARKERS), "configs/m/metafile.yml": METAFILE, CONFIG: "", **runs})
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
        "| [seed 0](../../results/m/ce_r32_digits_seed0.json), [seed 1](../../results/m/ce_r32_digits_seed1.json) |\n"
    ) in text
    gallery = (repository / "docs/methods.md").read_text()
    assert (
        "## Sampling\n\n| Method | Idea | Config | Command | Epochs | Parameters | Published | Ours |\n"
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: |\n"
        "| [M](../configs/m) | Rare classes twice | [ce_r32_digits.py](../configs/m/ce_r32_digits.py) "
        "| `python tools/train.py configs/m/ce_r32_digits.py` | 30 | 0.464 M | 50.0 (Tab. 1) | 52.0 ± 1.4 |\n"
    ) in gallery
    assert "| Method | ImageNet-LT, R32 |\n" in gallery
    assert "| [M](../configs/m) | [50.0](../configs/m/ce_r32_digits.py)/52.0±1.4 |\n" in gallery
    assert "ce_r32_digits" not in (repository / "results/README.md").read_text()
    readme_tables.main(["--check"])


def test_epochs_and_size_of_a_new_config_are_added(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metafile = repository / "configs/m/metafile.yml"
    metafile.write_text(METAFILE.replace("    Metadata: {Epochs: 30, Parameters: 464154}\n", ""))
    (repository / CONFIG).write_text(f'_base_ = "{ROOT}/configs/ce/ce_r32_digits.py"')
    with pytest.raises(SystemExit):
        readme_tables.main(["--check"])
    assert f"no Metadata of ['{CONFIG}']; run: make results-table" in capsys.readouterr().err
    readme_tables.main([])
    assert metafile.read_text() == METAFILE


def test_runs_of_other_variants_and_data_stand_below_the_nearest_row(repository: Path) -> None:
    listed = METAFILE[METAFILE.index("  - Name: m/") :].replace("_digits", "_digits+b").replace(".py", ".py:b", 1)
    listed = listed.replace("digits+b.py", "digits.py").replace("ImageNet-LT", "Birds").replace(", 464154", "")
    write(
        repository,
        {
            "configs/m/metafile.yml": METAFILE + listed.replace("    Metadata: {Epochs: 30, Parameters: 464154}\n", ""),
            "results/m/ce_r32_digits+b+c_seed0.json": result(0, 61.0, config=f"{CONFIG}:b,c"),
            "results/m/ce_r32_digits+c@moths_seed3.json": result(3, 62.0, config=f"{CONFIG}:c"),
        },
    )
    readme_tables.main([])
    table = (repository / "configs/m/README.md").read_text()
    assert "| [ce_r32_digits.py:b](ce_r32_digits.py) | Birds | 50.0 (60.0 / 50.0 / 40.0) | Tab. 1 | - |" in table
    assert "| [ce_r32_digits.py:b,c](ce_r32_digits.py) | Birds, c | - | - | 61.0 |" in table
    assert "| [ce_r32_digits.py:c](ce_r32_digits.py) | ImageNet-LT, c, moths | - | - | 62.0 |" in table


def test_the_leaderboard_ranks_runs_of_the_small_network(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages: dict[str, Any] = {"previous_stage": {"time_s": 30.0}}
    write(
        repository,
        {
            "configs/m/metafile.yml": METAFILE.replace("ImageNet-LT", "UCI digits, IF 50"),
            **{
                f"results/m/ce_r32_digits+r20_seed{seed}.json": result(seed, 70.0 + seed, config=f"{CONFIG}:r20")
                for seed in (0, 1)
            },
            "results/m/ce_r32_digits+b+r20_seed0.json": result(
                0, config=f"{CONFIG}:b,r20", metrics={"overall": 80.0, "few": 30.0, "ece": 7.0}, **stages
            ),
        },
    )
    readme_tables.main([])
    digits, cifar = (repository / "docs/leaderboard.md").read_text().split("## CIFAR-10-LT")
    assert (
        "| [M b](../configs/m/ce_r32_digits.py) | 80.0 | - | - | 30.0 | 7.0 | 2.0 "
        "| [seed 0](../results/m/ce_r32_digits+b+r20_seed0.json) "
        "| `python tools/train.py configs/m/ce_r32_digits.py:b,r20` |\n"
        "| [M](../configs/m/ce_r32_digits.py) | 70.5 ± 0.7 | - | - | 30.0 ± 0.0 | 5.0 ± 0.0 | 1.5 |"
    ) in digits
    assert "No runs yet." in cifar and "51.0" not in digits
    chosen = (repository / "docs/choosing_a_method.md").read_text()
    assert "| Wanted | UCI digits, imbalance factor 50 |\n" in chosen
    assert "| Accuracy, all classes alike | M b 80.0; M 70.5 ± 0.7 |\n" in chosen
    assert "| Calibration (ECE) | M 5.0 ± 0.0; M b 7.0 |\n" in chosen
    assert "| Medium classes | - |\n" in chosen

    # The baseline is beside the best.
    monkeypatch.setattr(readme_tables, "NUM_BEST", 1)
    monkeypatch.setattr(readme_tables, "BASELINE", "M")
    readme_tables.main([])
    chosen = (repository / "docs/choosing_a_method.md").read_text()
    assert "| Accuracy, all classes alike | M b 80.0; M 70.5 ± 0.7 |\n" in chosen
    assert "| Calibration (ECE) | M 5.0 ± 0.0 |\n" in chosen

    metafile = repository / "configs/m/metafile.yml"
    metafile.write_text(metafile.read_text().replace("UCI digits, IF 50", "CIFAR-10-LT, IF 100"))
    name = "results/m/ce_r32_digits+folders+r20@cifar10+short7_seed0.json"
    write(repository, {name: result(0, 33.0, config=f"{CONFIG}:folders,r20", schedule="short")})
    readme_tables.main([])
    digits, cifar = (repository / "docs/leaderboard.md").read_text().split("## CIFAR-10-LT")
    assert "No runs yet." in digits and "70.5" not in cifar
    assert "| [M](../configs/m/ce_r32_digits.py) | 33.0 |" in cifar
    assert "`python tools/train.py configs/m/ce_r32_digits.py:folders,r20 --data cifar10 --shorten 7` |" in cifar


def test_rows_of_one_method_are_told_apart_by_their_config(repository: Path) -> None:
    metafile = METAFILE.replace("ImageNet-LT", "UCI digits, IF 50")
    other = CONFIG.replace("ce_", "focal_")
    write(
        repository,
        {
            "configs/m/metafile.yml": metafile + metafile[metafile.index("  - Name: m/") :].replace("ce_", "focal_"),
            other: "",
            "results/m/ce_r32_digits+r20_seed0.json": result(0, 70.0, config=f"{CONFIG}:r20"),
            "results/m/focal_r32_digits+r20_seed0.json": result(0, 71.0, config=f"{other}:r20"),
        },
    )
    readme_tables.main([])
    chosen = (repository / "docs/choosing_a_method.md").read_text()
    assert "| Accuracy, all classes alike | M (focal) 71.0; M (ce) 70.0 |\n" in chosen


def test_short_runs_have_a_page_of_their_own(repository: Path) -> None:
    (repository / "configs/m/metafile.yml").write_text(f"{METAFILE}        Data: birds\n")
    for file in (repository / "results/m").glob("*.json"):
        file.unlink()
    path = "results/m/ce_r32_digits@birds+short9_seed1.json"
    changed: dict[str, Any] = {
        "schedule": "short",
        "time_s": 119.0,
        "note": "Earlier recipe: x",
        "previous_stage": {"epochs": 3},
    }
    write(repository, {path: result(1, **changed)})
    readme_tables.main([])
    page = (repository / "results/README.md").read_text()
    assert (
        "| [m/ce_r32_digits.py --data birds --shorten 9](../configs/m/ce_r32_digits.py) | ImageNet-LT | 3 + 30 "
        "| 51.0 | - | - | 30.0 | 5.0 | [seed 1](m/ce_r32_digits@birds+short9_seed1.json)† | 2 | 2 cores |\n"
    ) in page
    assert "\ngit checkout cccccccccc && python tools/train.py c.py\n" in page
    assert "51.0" not in "".join((repository / page).read_text() for page in PAGES if page != "results/README.md")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("configs/m/metafile.yml", "Dataset", "Data", "wrong keys"),
        ("configs/m/metafile.yml", "Name: m/", "Name: x/", "wrong name"),
        ("configs/m/metafile.yml", "In Collection: M", "In Collection: N", "unknown collection"),
        ("configs/m/metafile.yml", "    Idea: Rare classes twice\n", "", "the collection M needs ['Idea']"),
        ("configs/m/metafile.yml", "Rare classes twice", "x" * 101, "Idea of M must be one sentence of at most 100"),
        ("configs/m/metafile.yml", "Rare classes twice", "a|b", "Idea of M must be one sentence"),
        ("configs/m/metafile.yml", "Family: Sampling", "Family: Luck", "Family 'Luck' of M must be one of: Losses and"),
        ("configs/m/metafile.yml", "overall: 50.04, ", "", "Published of m/ce_r32_digits must have overall"),
        ("configs/m/metafile.yml", "overall: 50.04", "clt: [1, 2]", "Published of m/ce_r32_digits must have overall"),
        ("configs/m/metafile.yml", "overall: 50.04", "overall: x", "Published of m/ce_r32_digits must have overall"),
        ("results/m/ce_r32_digits_seed0.json", "ce_r32_digits", "other", "must be called m/other[@DATA]"),
        ("results/m/ce_r32_digits_seed0.json", '"seed": 0', '"seed": 2', "[@DATA][+shortN]_seed2.json."),
        ("docs/methods.md", "begin results", "", "needs the lines"),
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
@pytest.mark.parametrize("file", ["results/m/ce_r32_digits_seed0.json", "configs/m/metafile.yml"])
def test_foreign_files_are_one_line(file: str, text: str, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme_tables.main([])
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


def test_a_run_without_metafile_is_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, {"results/n/ce_r32_digits_seed0.json": result(0, config="configs/n/ce_r32_digits.py")})
    with pytest.raises(SystemExit):
        readme_tables.main([])
    assert "no metafile.yml is beside the configs of ['results/n/ce_r32_digits_seed0.json']" in capsys.readouterr().err


def test_table_of_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    triple = {"AP50": 60.2, "AP": 33.8, "AP75": 33.1}
    row = {"Task": "Object Detection", "Dataset": "VOC", "Published": {"source": "Tab. 3", "random": triple}}
    model = {"Name": "m/x", "In Collection": "M", "Config": "configs/m/x.py", "Results": [row]}
    collection = {"Name": "M", "Family": "Detection", "Idea": "Boxes", "README": "configs/m/README.md"}
    runs = {
        f"results/m/x_ce_seed{seed}.json": result(
            seed,
            config="configs/m/x.py",
            backbone={"name": "ce"},
            metrics={"AP50": 4.0 + 2 * seed, "AP": 1.0, "AP75": 0.5},
        )
        for seed in (0, 1)
    }
    metafile = yaml.safe_dump({"Collections": [collection], "Models": [model]})
    write(tmp_path, {**dict.fromkeys(PAGES, MARKERS), "configs/m/metafile.yml": metafile, "configs/m/x.py": "", **runs})
    monkeypatch.setattr(readme_tables, "ROOT", tmp_path)
    readme_tables.main([])
    table = (tmp_path / "configs/m/README.md").read_text()
    assert "| [x](x.py) | random | - | - | - | 60.2 / 33.8 / 33.1 | - |\n" in table
    assert "| [x](x.py) | ce | 5.0 ± 1.4 | 1.0 ± 0.0 | 0.5 ± 0.0 | - | 0, 1 |\n" in table
    assert "11-point metric" in table
    assert "configs/m" not in (tmp_path / "docs/methods.md").read_text(), "the gallery is about classifiers"
    readme_tables.main(["--check"])


GLT_METAFILE = """
Collections:
  - Name: M
    Family: Sampling
    Idea: Rare classes twice
    README: configs/m/README.md
Models:
  - Name: m/ce_r32_cifar100-glt
    In Collection: M
    Config: configs/m/ce_r32_cifar100-glt.py
    Metadata: {Epochs: 100, Parameters: 470004}
    Results:
      - Task: Image Classification
        Dataset: CIFAR-100-GLT
        Published: {clt: [42.52, 47.92], glt: [34.75, 40.66], source: "IFL, Tab. 1"}
"""
GLT_CONFIG = "configs/m/ce_r32_cifar100-glt.py"


def glt_result(variants: str, seed: int, clt: float | None, **changed: Any) -> tuple[str, str]:
    """Name and content of a file of a run on Train-GLT, or on Train-CBL."""
    names = ("clt", "glt") if clt is not None else ("alt",)
    metrics = {f"{name}_{number}": (clt or 40.0) + seed for name in names for number in ("accuracy", "precision")}
    metrics |= {"gap_accuracy": 9.0, "glt_lowest_tenth": 2.0} if clt is not None else {}
    spec = GLT_CONFIG + (f":{variants}" if variants else "")
    name = "m/ce_r32_cifar100-glt" + "".join(f"+{variant}" for variant in variants.split(",") if variant)
    content = result(seed, config=spec, metrics=metrics, epochs=100, **changed)
    return f"results/{name}{'+short5' if changed else ''}_seed{seed}.json", content


@pytest.fixture
def glt_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a config of a GLT benchmark."""
    short = {"schedule": "short"}
    runs = [
        glt_result("", 0, 50.0),
        *(glt_result("r20", seed, 50.0, **short) for seed in (0, 1)),
        *(glt_result("alt,r20", seed, None, **short) for seed in (0, 1)),
        glt_result("r20,other", 0, 60.0, **short),
        glt_result("alt,r20,only", 0, None, **short),
    ]
    write(tmp_path, {**dict.fromkeys(PAGES, MARKERS), "configs/m/metafile.yml": GLT_METAFILE, GLT_CONFIG: "",
                     **dict(runs)})  # fmt: skip
    monkeypatch.setattr(readme_tables, "ROOT", tmp_path)
    readme_tables.main([])
    return tmp_path


def test_a_glt_benchmark_has_columns_of_its_own(glt_repository: Path) -> None:
    page = (glt_repository / "configs/m/README.md").read_text()
    assert (
        "| Config | Data | Published | Source | CLT acc | CLT prec | GLT acc | GLT prec | ALT acc | ALT prec | Runs |"
        in page
    )
    assert (
        "| [ce_r32_cifar100-glt.py](ce_r32_cifar100-glt.py) | CIFAR-100-GLT | CLT 42.5 / 47.9, GLT 34.8 / 40.7 "
        "| IFL, Tab. 1 | 50.0 | 50.0 | 50.0 | 50.0 | - | - | [seed 0]"
    ) in page
    assert "| Ours |" not in page, "no table of the other numbers"
    gallery = (glt_repository / "docs/methods.md").read_text()
    assert "| CLT 42.5 / 47.9, GLT 34.8 / 40.7 (IFL, Tab. 1) | CLT 50.0, GLT 50.0 |" in gallery
    _, _, overview = gallery.partition("## Published numbers on GLT benchmarks\n\n")
    header, _, row = overview.splitlines()[:3]
    assert header == "| Config | CIFAR-100-GLT CLT | CIFAR-100-GLT GLT | CIFAR-100-GLT ALT |"
    assert row == "| [ce, R32](../configs/m/ce_r32_cifar100-glt.py) | 42.5 / 47.9 | 34.8 / 40.7 |  |"
    smoke = (glt_repository / "results/README.md").read_text()
    assert "| CIFAR-100-GLT, alt, r20 | 100 | - | - | - | - | 40.5 ± 0.7 | 40.5 ± 0.7 |" in smoke


def test_glt_leaderboard_joins_the_protocols(glt_repository: Path) -> None:
    page = (glt_repository / "docs/leaderboard.md").read_text()
    _, _, table = page.partition("## CIFAR-100-GLT, schedule 5 times shorter\n\n")
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[:5]]
    assert header == [
        *("Method", "CLT acc", "CLT prec", "GLT acc", "GLT prec", "ALT acc", "ALT prec", "Gap", "Lowest tenth"),
        *("Minutes", "Seeds", "Command"),
    ]
    link = "(../configs/m/ce_r32_cifar100-glt.py)"
    assert [row[0] for row in rows] == [f"[M other]{link}", f"[M]{link}", f"[M only]{link}"]  # by accuracy of GLT
    assert rows[0][3:6] == ["60.0", "60.0", "-"]
    assert rows[1][1:9] == [*["50.5 ± 0.7"] * 4, *["40.5 ± 0.7"] * 2, "9.0 ± 0.0", "2.0 ± 0.0"]
    assert rows[1][10].count("seed 0") == rows[1][10].count("ALT: ") + 1 == 2
    assert rows[1][11] == f"`python tools/train.py {GLT_CONFIG}:r20 --shorten 5`"
    assert rows[2][1:7] == ["-", "-", "-", "-", "40.0", "40.0"]
