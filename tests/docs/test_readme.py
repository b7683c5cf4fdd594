"""Each command of README.md is run as it stands, on photos that the test makes, with trainings of one epoch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lt_plugins.runs.config import read_stages
from lt_plugins.runs.spec import run_name
from tests.docs.page_commands import run_command, write_photos
from tests.tool_process import ROOT
from tools.dev.tutorials import make_workspace, split_commands

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
COMMANDS = [command for block in BLOCKS for command in split_commands(block)]
NOT_RUN = {
    r"make demo": "installs packages; tests/tools/test_demo.py runs the demo",
    r"source \.venv/bin/activate": "is of the reader's shell",
}


def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = [command for command in COMMANDS if not any(re.match(pattern, command) for pattern in NOT_RUN)]
    assert len(run) >= 3
    for command in run:
        for name in re.findall(r"(?<= )[a-z_]+(?= |$)", command.partition(" #")[0]):
            write_photos(tmp_path / name)  # any bare word may be a folder of the reader
        run_command(command, tmp_path, {"train.py": " ".join(_short_training(command))})


def test_what_is_not_run_is_in_the_readme() -> None:
    for pattern in NOT_RUN:
        assert any(re.match(pattern, command) for command in COMMANDS), f"{pattern} is not in README.md any more"


def _short_training(command: str) -> list[str]:
    """One epoch a stage; photos where the config has a set of its own, in the folder that the run would have."""
    spec = re.search(r"configs/\S+", command)
    if spec is None:
        return []
    stages = ["", *(f"stage{number}." for number in range(2, 1 + len(read_stages(spec[0]))))]
    short = [
        "--cfg-options",
        *(f"{stage}train_cfg.max_epochs=1" for stage in stages),
        "train_dataloader.drop_last=False",
    ]
    if "--data" in command:
        return short
    write_photos(Path("photos"), (32, 32))
    return ["--data", "photos", "--work-dir", f"work_dirs/{run_name(spec[0])}", *short]
