"""A fine-tuning of a detector becomes a results file, and results files become a table of backbones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lt_plugins.runs.config import read_stages
from tests.tools.test_record_result import LOG
from tools.dev import readme_tables, record_result

CONFIG = "configs/detection/faster-rcnn_r18-c4_200i_voc07-part.py"
METRICS = {"pascal_voc/mAP": 0.0123, "pascal_voc/AP50": 0.041, "pascal_voc/AP75": 0.002}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What transfer.py leaves of a run with an override, which was resumed once."""
    work_dir = tmp_path / "ce_seed3"
    (cfg,) = read_stages(str(record_result.ROOT / CONFIG))
    cfg.merge_from_dict(
        {"randomness.seed": 3, "custom_hooks.0.checkpoint": "ce.pth", "train_dataloader.batch_size": 2},
    )
    for name, steps in (("20261121_062131", (20, 100)), ("20261121_072131", (120, 200))):
        start = work_dir / name
        (start / "vis_data").mkdir(parents=True)
        for path in (start / "vis_data" / "config.py", work_dir / Path(CONFIG).name):
            cfg.dump(path)
        rows: list[dict[str, float]] = [
            {"loss": 400 / step, "memory": 900 + step, "iter": step, "step": step} for step in steps
        ]
        rows += [{**METRICS, "step": 0}] if 200 in steps else []
        (start / "vis_data" / "scalars.json").write_text("\n".join(map(json.dumps, rows)))
        (start / f"{name}.log").write_text(LOG)
    transfer = {"backbone": "ce", "checkpoint": "ce.pth", "sha256": "ab12", "seed": 3}
    (work_dir / "transfer.json").write_text(json.dumps(transfer))
    return work_dir


def test_record(run: Path, tmp_path: Path) -> None:
    record_result.main([str(run), str(tmp_path / "result.json")])
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result.pop("commit")) in (0, 40)
    assert result == {
        "config": CONFIG,
        "command": f"python tools/train.py {CONFIG} --backbone ce.pth --cfg-options randomness.seed=3 "
        "train_dataloader.batch_size=2",
        "seed": 3,
        "backbone": {"name": "ce", "checkpoint": "ce.pth", "sha256": "ab12"},
        "iterations": 200,
        "starts": 2,
        "hardware": "2 x NVIDIA H200",
        "torch": "2.11.0+cu130",
        "time_s": 1200.0,
        "max_memory_mb": 1100,
        "loss": {"first": 20.0, "last": 2.0},
        "metrics": {"AP50": 4.1, "AP": 1.23, "AP75": 0.2},
    }


def test_unfinished(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scalars = run / "20261121_072131" / "vis_data" / "scalars.json"
    scalars.write_text("\n".join(scalars.read_text().splitlines()[:-1]))
    with pytest.raises(SystemExit):
        record_result.main([str(run), str(tmp_path / "result.json")])
    assert "is not evaluated after iteration 200; finish it with transfer.py" in capsys.readouterr().err


def test_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
