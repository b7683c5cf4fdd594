"""The code of docs/plain_pytorch.md, block after block in one namespace."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "plain_pytorch.md"


def test_the_page_runs_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 7
    script = tmp_path / "page.py"
    script.write_text("last = []\n" + "".join(f"{block}\nlast.append(loss.item())\n" for block in blocks))
    names = runpy.run_path(str(script))
    assert all(map(math.isfinite, names["last"])) and len(set(names["last"])) == 6, "each block but the last trains"
    numbers, error = capsys.readouterr().out.splitlines()
    assert "'accuracy_top1': " in numbers and "'many': " in numbers and "'few': " in numbers
    assert 0 < float(error) < 100
    assert names["criterion"].is_reweighted
    assert names["center"].centres.shape == (4, 16)
    assert names["sbcl"].is_ready
    assert float(names["test_priors"].sum()) == pytest.approx(1.0)
    assert names["fc"].weight.equal(names["adjusted"].weight)
    assert names["queue"].labels.min() >= 0, "the queue is full"
