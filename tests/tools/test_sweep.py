"""A sweep trains all stages of each config with each seed, goes on where it was stopped, and writes a table."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from pathlib import Path

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.runs.tables import mean_and_spread
from tests.miniatures import make_miniature
from tests.tool_process import ROOT, expect_errors, run_tool, start_tool

LCREG = ROOT / "configs" / "lcreg" / "lcreg_r32_digits.py"
DATA = ["train_dataloader.dataset.max_count=12", "train_dataloader.dataset.imbalance_factor=6"]
SMALL = [
    *DATA,
    "model.backbone.depth=20",
    "train_dataloader.batch_size=16",
    "val_dataloader.dataset.indices=20",
    "test_dataloader.dataset.indices=20",
    "train_cfg.max_epochs=2",
    "stage2.train_cfg.max_epochs=2",
]


def write_configs(folder: Path) -> list[str]:
    """A config and a variant of it with other latent categories, with published numbers of one of them."""
    config = folder / "lcreg_r32_digits.py"
    config.write_text(
        f'_base_ = "{LCREG}"\n'
        "four = dict(model=dict(head=dict(num_latents=4)))\n"
        "variants = dict(m4=dict(**four, stage2=four))\n"
    )
    (folder / "metafile.yml").write_text(
        "Models:\n"
        "  - Config: anywhere/lcreg_r32_digits.py:m7\n"
        "    Results:\n"
        '      - Published: {overall: 81.0, source: "LCReg, Tab. 3"}\n'
        "  - Config: anywhere/lcreg_r32_digits.py\n"
        "    Results:\n"
        '      - Published: {overall: 83.1, source: "LCReg, Tab. 1"}\n'
    )
    return [str(config), f"{config}:m4"]


def test_table_of_two_configs_and_two_seeds(tmp_path: Path) -> None:
    configs, out = write_configs(tmp_path), tmp_path / "out"
    arguments: list[str | Path] = [*configs, "--work-dir", out, "--cfg-options", *SMALL]
    victim = start_tool("sweep.py", *arguments, logs=tmp_path / "stopped")
    victim.wait_for_line(str(out / "lcreg_r32_digits+m4_seed0" / "stage1"))
    victim.process.terminate()
    assert victim.wait().exit_code == 128 + signal.SIGTERM

    again = run_tool("sweep.py", *arguments, logs=tmp_path / "again")
    assert again.exit_code == 0, again.output
    assert "run 1 of 2: lcreg_r32_digits, seed 0, finished before" in again.output
    assert "run 2 of 2: lcreg_r32_digits+m4, seed 0\n" in again.output
    for stage in ("", "stage1"):
        state = load_checkpoint(out / "lcreg_r32_digits+m4_seed0" / stage / "epoch_2.pth")["state_dict"]
        assert len(state["head.latent_pool.latents"]) == 4

    # The second seed has run elsewhere, up to its last evaluation.
    overall = RunFolder(out / "lcreg_r32_digits_seed0").log().metrics[-1]["shot/accuracy_top1"]
    shutil.copytree(out / "lcreg_r32_digits_seed0", out / "lcreg_r32_digits_seed1")
    for path in (out / "lcreg_r32_digits_seed1").glob("*/vis_data/scalars.json"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if "shot/" not in line or '"step": 2' not in line))
    record = out / "lcreg_r32_digits_seed1" / "sweep.json"
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 1').replace("seed=0", "seed=1"))
    second = run_tool("sweep.py", configs[0], "--seeds", "0", "1", *arguments[2:], "--latex", logs=tmp_path / "table")
    assert second.exit_code == 0, second.output
    tested = json.loads((out / "lcreg_r32_digits_seed1" / "tested.json").read_text())
    table = (out / "table.md").read_text().splitlines()
    header, _, cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in table[:3])
    assert header == ["Config", "Overall", "Many", "Medium", "Few", "ECE", "Published", "Schedule", "Seeds"]
    assert cells[0] == "lcreg_r32_digits"
    assert cells[1] == mean_and_spread([overall, tested["shot/accuracy_top1"]])
    assert cells[-3:] == ["83.1 (LCReg, Tab. 1)", "short", "0, 1"]
    assert list(csv.reader((out / "table.csv").read_text().splitlines())) == [header, cells]
    latex = (out / "table.tex").read_text()
    assert latex in second.output and "percent, after" in latex.lower()
    row = " & ".join(cell.replace("_", r"\_").replace("±", r"$\pm$") for cell in cells)
    assert f"{row} \\\\\n\\bottomrule" in latex
    assert "83.1 (LCReg, Tab. 1)" in (out / "table.html").read_text()


def test_paco_and_lpa_of_the_same_data(tmp_path: Path) -> None:
    """Their config files bear the same name for iNaturalist, and so did their folders before."""
    out = tmp_path / "out"
    for method in ("paco", "lpa"):
        (tmp_path / "configs" / method).mkdir(parents=True)
        original = ROOT / "configs" / method / f"{method}_r32_digits.py"
        (tmp_path / "configs" / method / "paco_r32_digits.py").write_text(f"_base_ = {str(original)!r}\n")
    configs = [tmp_path / "configs" / method / "paco_r32_digits.py" for method in ("paco", "lpa")]
    small = [*SMALL[:-2], "model.queue_size=32"]
    done = run_tool(
        "sweep.py", *configs, "--work-dir", out, "--record", tmp_path / "results", "--shorten", "10",
        "--val-interval", "12", "--cfg-options", *small, "train_cfg.max_epochs=12", logs=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    heads = {}
    for method in ("paco", "lpa"):
        run = RunFolder(out / method / "paco_r32_digits+short10_seed0")
        assert len(run.starts) == 1 and run.setting("train_cfg.max_epochs", int) == 10
        assert load_checkpoint(run.path / "epoch_10.pth")["meta"]["run_record"]["schedule"] == "short"
        heads[method] = run.setting("model.head.type", str)
        result = json.loads((tmp_path / "results" / method / "paco_r32_digits+short10_seed0.json").read_text())
        assert (result["epochs"], result["schedule"], result["seed"], result["dataset"]) == (10, "short", 0, "digits")
        command = f"OMP_NUM_THREADS=1 python tools/train.py {result['config']} --shorten 10 --val-interval 12 "
        assert result["command"].startswith(f"{command}--cfg-options ran"), "conftest.py sets the threads"
        assert [row["step"] for row in run.log().metrics] == [10]
        assert result["metrics"]["overall"] == round(run.log().metrics[-1]["shot/accuracy_top1"], 4)
    assert heads == {"paco": "PaCoHead", "lpa": "LPAHead"}
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in (out / "table.md").read_text().splitlines()
    ]
    assert [row[0] for row in rows[2:4]] == ["paco/paco_r32_digits+short10", "lpa/paco_r32_digits+short10"]
    assert [row[-2:] for row in rows[2:4]] == [["short", "0"]] * 2


def test_protocols_of_a_glt_benchmark(tmp_path: Path) -> None:
    """Validated on one split and tested on others, after the training."""
    config, out = "configs/ce/ce_r32_cifar100-glt.py", tmp_path / "out"
    make_miniature("data/cifar100", tmp_path / "cifar100")
    roots = [f"{loop}_dataloader.dataset.data_root={tmp_path / 'cifar100'}" for loop in ("train", "val", "test")]
    done = run_tool(
        "sweep.py", config, "--work-dir", out, "--record", tmp_path / "results", "--cfg-options", *roots,
        "model.backbone.depth=20", "train_cfg.max_epochs=1",
        "default_hooks.preflight.allow_empty_classes=True", "--no-resident", logs=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    header, _, row = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (out / "table.md").read_text().splitlines()[:3]
    )
    assert header[:7] == ["Config", "CLT acc", "CLT prec", "GLT acc", "GLT prec", "ALT acc", "ALT prec"]
    assert [cell == "-" for cell in row[1:7]] == [False] * 4 + [True] * 2
    name = "ce/ce_r32_cifar100-glt_seed0"
    tested = json.loads((out / name / "tested.json").read_text())
    assert row[1] == f"{tested['clt/accuracy']:.1f}"
    result = json.loads((tmp_path / "results" / f"{name}.json").read_text())
    assert (result["epochs"], result["schedule"], result["dataset"]) == (1, "short", "cifar100-glt")
    assert result["metrics"]["glt_precision"] == round(tested["glt/precision"], 4)
    assert not any(key.startswith("alt") for key in result["metrics"])
    assert result["command"].endswith("resident=False")
    assert "Precision against accuracy on the validation set" in (out / "table.html").read_text()
    trends = RunFolder(out / name).log().precision_trends()
    assert trends.keys() == {"val-glt"} and [len(values) for values in trends["val-glt"]] == [1, 1]


def test_errors(tmp_path: Path) -> None:
    (config, variant), out = write_configs(tmp_path), tmp_path / "out"
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / Path(config).name
    twin.write_text(Path(config).read_text())
    run = out / "lcreg_r32_digits+m4_seed0"
    run.mkdir(parents=True)
    (run / "sweep.json").write_text('{"config": "another.py"}')
    expect_errors(
        "sweep.py",
        {
            (tmp_path / "none.py",): "none.py does not exist",
            (config, twin): "two runs are called lcreg_r32_digits",
            (variant, variant): "two runs are called lcreg_r32_digits+m4",
            (f"{config}:m5",): "no variant 'm5'; it has m4, r20.",
            (variant, "--work-dir", out): "holds a run with config=another.py",
            (config, "--cfg-options", "seed"): "'seed' is not key=value",
            (config, "--data", tmp_path / "other"): "has no class folders",
            (config, "--jobs", "0"): "--jobs 0 must be 1 or more.",
            (config, "--gpus", "-1"): "--gpus -1 must be 1 or more.",
        },
        logs=tmp_path,
    )


def test_a_failing_run_ends_the_sweep_with_its_own_line(tmp_path: Path) -> None:
    (config, _) = write_configs(tmp_path)
    done = run_tool(
        "sweep.py",
        config,
        "--work-dir",
        tmp_path / "out",
        "--cfg-options",
        *SMALL,
        "train_dataloader.batch_size=999",
        "train_dataloader.drop_last=True",
        logs=tmp_path,
    )
    assert done.exit_code == 1
    assert len(done.error_lines) == 1
    assert "the train run of lcreg_r32_digits, seed 0 stopped: train_dataloader has" in done.error_lines[0]
    assert "yields no batch of 999" in done.error_lines[0]
    assert "Traceback" not in done.output
