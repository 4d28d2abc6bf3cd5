"""docs/scaling.md says what its simulator computes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from serving import ROOT


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(root / "bench/scaling.py"), "--check"], capture_output=True, text=True, timeout=120)


def test_the_page_says_what_is_computed() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_input_is_noticed(tmp_path: Path) -> None:
    for name in ("bench/scaling.py", "bench/scaling.toml", "docs/scaling.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    inputs = tmp_path / "bench/scaling.toml"
    text = inputs.read_text()
    assert "value = 403" in text
    inputs.write_text(text.replace("value = 403", "value = 4030"))
    done = check(tmp_path)
    assert done.returncode == 1 and "inputs, nodes, shards" in done.stdout and "storms" in done.stdout, done.stdout
