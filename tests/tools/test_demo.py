"""The demo, with schedules of a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tools import demo


@pytest.fixture
def short_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's methods with one epoch and a smaller network."""
    short = {}
    for method, config in demo.METHODS.items():
        lines = [
            f"_base_ = {str(config)!r}",
            "model = dict(backbone=dict(depth=20))",
            "train_cfg = dict(max_epochs=1, val_interval=1)",
        ]
        if method == "LPA":
            lines += [
                "custom_hooks = [dict(hook, start=0) if hook['type'] == 'ReclusterHook' else hook"
                " for hook in _base_.custom_hooks]"
            ]
        short[method] = tmp_path / config.name
        short[method].write_text("\n".join(lines))
    monkeypatch.setattr(demo, "METHODS", short)


@pytest.mark.usefixtures("short_methods")
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.main(["--seeds", "2", "--seed", "3", "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert "mmengine" not in out, "the log goes to the work dirs"
    lines = out.splitlines()
    table = next(index for index, line in enumerate(lines) if "overall" in line)
    assert [word for word in lines[table].split() if word.isalpha()] == [
        *("method", "overall", "many", "medium", "few", "ECE", "time")
    ]
    for method in demo.METHODS:
        row = next(line for line in lines[table:] if method in line)
        assert row.count("±") == len(demo.COLUMNS)
    for name in ("class_accuracy", "confusion_cross-entropy", "confusion_lpa", "pseudo_attributes"):
        path = tmp_path / "out" / f"{name}.png"
        assert str(path.name) in out.replace("\n", "")
        with Image.open(path) as picture:
            assert min(picture.size) > 200
    assert (tmp_path / "out" / "lpa_r20_digits_seed4").is_dir()


def test_demo_refuses_no_seed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demo.main(["--seeds", "0"])
    assert "must be at least 1" in capsys.readouterr().err
