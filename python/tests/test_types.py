"""The types of the package: a site's code is seen alike by mypy and by pyright, both strict."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SITE = HERE / "typing" / "site.py"
WRONG = """
from typing import Any, assert_type
from django_jackfield import presence, send
assert_type(presence("room:7"), int)
send(usr="42", data={})
"""


def program(*names):
    """The first of these in the environment of the tests or in PATH."""
    beside = Path(sys.executable).parent
    for name in names:
        found = shutil.which(name, path=str(beside)) or shutil.which(name)
        if found:
            return found
    return pytest.skip(f"{' and '.join(names)} are not installed")


def mypy(path, folder):
    done = subprocess.run(
        [
            *(program("mypy"), "--config-file", str(HERE.parent / "pyproject.toml")),
            *("--strict", "--cache-dir", str(folder / "cache"), "--output", "json", str(path)),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={"PATH": "/usr/bin:/bin", "MYPYPATH": str(HERE.parent / "src")},
    )
    assert not done.stderr, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [one for one in found if Path(one["file"]).name == path.name]


def pyright(path, folder):
    config = folder / "pyrightconfig.json"
    config.write_text(
        json.dumps(
            {
                "include": [str(path)],
                "typeCheckingMode": "strict",
                "extraPaths": [str(HERE.parent / "src")],
                "pythonVersion": "3.11",
                # The site's own carelessness is not what is looked at.
                "reportUnusedParameter": "none",
                "reportUnusedFunction": "none",
            }
        )
    )
    done = subprocess.run(
        [
            *(program("basedpyright", "pyright"), "--project", str(config), "--outputjson"),
            *("--pythonpath", sys.executable),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    said = json.loads(done.stdout)
    assert said["summary"]["filesAnalyzed"] == 1, said
    return said["generalDiagnostics"]


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_site_is_typed(checker, tmp_path):
    assert checker(SITE, tmp_path) == []


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_mistake_is_seen(checker, tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(WRONG)
    lines = {
        one["line"] if "line" in one else one["range"]["start"]["line"] + 1
        for one in checker(path, tmp_path)
    }
    assert {4, 5} <= lines
