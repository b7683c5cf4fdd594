"""A run's folder becomes a results file, and results files become tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lt_plugins.runs.config import read_stages
from lt_plugins.runs.run_folder import RunFolder
from tools.dev import readme_tables, record_result

CONFIG = "configs/ce/ce_r32_cifar100-lt.py:lt50"
STAGES = "configs/mislas/mislas_r32_cifar10-lt.py:lt10"
LOG = """\
2026/11/21 06:21:31 - mmengine - INFO -
    CUDA available: True
    GPU 0,1: NVIDIA H200
    PyTorch: 2.11.0+cu130
    seed: 3
2026/11/21 06:22:01 - mmengine - INFO - Epoch(train) [1][50/85]
2026/11/21 06:31:31 - mmengine - INFO - done
"""


def _evaluation(step: int, overall: float, few: float) -> str:
    scores = {"shot/accuracy_top1": overall, "shot/few": few, "calibration/ece": 7.0}
    return json.dumps({**scores, "data_time": 0.1, "time": 1.0, "step": step})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 20 epochs, the last of which is not the best, trained with overrides."""
    return write_run(tmp_path / "run", **{"randomness.seed": 3, "train_dataloader.batch_size": 64})


def write_run(work_dir: Path, spec: str = CONFIG, stage: int = -1, **overrides: Any) -> Path:
    """What a run of 20 epochs leaves in its work dir."""
    start = work_dir / "20261121_062131"
    (start / "vis_data").mkdir(parents=True)
    cfg = read_stages(str(record_result.ROOT / spec))[stage]
    cfg.merge_from_dict({"work_dir": str(work_dir), "train_cfg.max_epochs": 20, **overrides})
    for path in (start / "vis_data" / "config.py", work_dir / Path(cfg.filename).name):
        cfg.dump(path)
    train = [json.dumps({"loss": 2.0, "memory": 900 + i, "epoch": i, "iter": i, "step": i}) for i in (1, 2)]
    lines = [*train, _evaluation(18, 33.25, 6.0), _evaluation(20, 32.5, 5.0)]
    (start / "vis_data" / "scalars.json").write_text("\n".join(lines))
    (start / f"{start.name}.log").write_text(LOG)
    return work_dir


def test_record_result(run: Path, tmp_path: Path) -> None:
    record_result.main([str(run), str(tmp_path / "out" / "result.json")])
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    commit = result.pop("commit")
    assert commit == "" or len(commit) == 40
    assert result == {
        "config": CONFIG,
        "command": f"python tools/train.py {CONFIG} --cfg-options randomness.seed=3 "
        "train_cfg.max_epochs=20 train_dataloader.batch_size=64",
        "seed": 3,
        "dataset": "cifar100-lt",
        "epochs": 20,
        "schedule": "short",
        "hardware": "2 x NVIDIA H200",
        "torch": "2.11.0+cu130",
        "time_s": 600.0,
        "max_memory_mb": 902,
        "metrics": {"overall": 32.5, "few": 5.0, "ece": 7.0},
        "best": {"epoch": 18, "overall": 33.25, "few": 6.0, "ece": 7.0},
    }


def test_a_result_of_stages_names_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    allowed = {"default_hooks.preflight.allow_empty_classes": True}
    run = write_run(tmp_path / "run", STAGES, **allowed)
    with pytest.raises(SystemExit):
        record_result.main([str(run), str(tmp_path / "result.json")])
    assert "has no folder stage1" in capsys.readouterr().err
    write_run(run / "stage1", STAGES, stage=0, **allowed, **{"train_cfg.max_epochs": 5})
    record_result.main([str(run), str(tmp_path / "result.json")])
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["config"], result["epochs"], result["schedule"]) == (STAGES, 20, "short")
    assert (result["time_s"], result["metrics"]["overall"]) == (600.0, 32.5)
    options = result["command"].partition(" --cfg-options ")[2].split()
    assert sorted(options) == [
        "default_hooks.preflight.allow_empty_classes=true",
        "stage2.train_cfg.max_epochs=20",
        "train_cfg.max_epochs=5",
    ]
    first = result["previous_stage"]
    assert first.pop("commit") == result["commit"]
    assert first == {"config": f"{STAGES},stage1", "epochs": 5, "time_s": 600.0}
    assert readme_tables._epochs(result | {"previous_stage": first | {"previous_stage": {"epochs": 7}}}) == "7 + 5 + 20"


def test_variants_that_differ_in_the_first_stage_are_told_apart(tmp_path: Path) -> None:
    spec = "configs/lcreg/lcreg_r32_cifar10-lt.py:aug"
    run = write_run(tmp_path / "run", spec)
    write_run(run / "stage1", spec, stage=0)
    assert record_result.collect(RunFolder(run))["config"] == spec


@pytest.mark.parametrize("key", ["train_cfg.max_epochs", "stage2.train_cfg.max_epochs", ""])
def test_overridden_epochs_of_any_stage_make_a_short_schedule(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run")
    changed = [{}, {"train_cfg.max_epochs": 20}] if key.startswith("stage2") else [{key: 20} if key else {}]
    monkeypatch.setattr(record_result, "find_config", lambda *_: ("configs/m/ce_r32_digits.py", changed))
    assert record_result.collect(RunFolder(run))["schedule"] == ("short" if key else "full")


def test_unfinished_runs_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scalars = next(run.rglob("scalars.json"))
    scalars.write_text("\n".join(scalars.read_text().splitlines()[:-1]))
    with pytest.raises(SystemExit):
        record_result.main([str(run), str(tmp_path / "result.json")])
    assert "evaluated up to epoch 18 of 20" in capsys.readouterr().err
    assert not (tmp_path / "result.json").exists()


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


@pytest.mark.parametrize(
    "harm",
    [
        lambda start: (start / "vis_data" / "config.py").write_text("a = ("),
        lambda start: (start / "vis_data" / "config.py").write_text("train_cfg = 3"),
        lambda start: (start / "vis_data" / "scalars.json").write_text("[1]"),
        lambda start: next(start.glob("*.log")).unlink(),
        lambda start: next(start.glob("*.log")).write_bytes(b"\xff\0"),
        lambda start: next(start.glob("*.log")).write_text("9999/99/99 99:99:99 - a"),
        lambda start: (start.parent / "transfer.json").write_text("[1]"),
        lambda start: (start.parent / "transfer.json").write_text("{}"),
    ],
    ids=range(8),
)
def test_a_foreign_run_is_one_line(
    harm: Callable[[Path], object], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(next(run.glob("2*/")))
    with pytest.raises(SystemExit):
        record_result.main([str(run), str(tmp_path / "result.json")])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {run}") or str(run) in line
    assert not (tmp_path / "result.json").exists()


def test_a_file_of_the_run_is_no_output(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = next(run.glob("*/*.log"))
    with pytest.raises(SystemExit):
        record_result.main([str(run), str(log)])
    assert "is the same file as the input" in capsys.readouterr().err
    assert log.read_text() == LOG


def test_a_config_without_model_is_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "configs/m/new.py").write_text("")
    with pytest.raises(SystemExit):
        readme_tables.main([])
    assert "new.py" in capsys.readouterr().err


def test_options_that_are_no_settings_are_left_out(run: Path) -> None:
    trained = {**RunFolder(run).config()[1], "launcher": "pytorch", "resume": True}
    config, [changed] = record_result.find_config(RunFolder(run), [trained])
    assert config == CONFIG
    assert set(changed) == {"randomness.seed", "train_dataloader.batch_size", "train_cfg.max_epochs"}
