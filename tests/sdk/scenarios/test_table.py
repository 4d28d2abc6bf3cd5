"""SCENARIOS.md and the tests tell of the same scenarios, SDK by SDK."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
# What each speaks; the stages of JavaScript and Python play every scenario in both encodings.
SDKS = {"JavaScript": "J P", "Python": "J P", "Java": "P"}


def table() -> dict[str, set[str]]:
    """The scenarios of the document, by SDK."""
    found: dict[str, set[str]] = {sdk: set() for sdk in SDKS}
    for line in (HERE.parent / "SCENARIOS.md").read_text().splitlines():
        if match := re.match(r"\| `([a-z0-9-]+)` \|[^|]+\|([^|]*)\|([^|]*)\|([^|]*)\|$", line):
            name, *marks = match.groups()
            for sdk, mark in zip(SDKS, marks, strict=True):
                if mark := mark.strip():
                    assert mark == SDKS[sdk], f"{name}: {sdk} plays it in {SDKS[sdk]}, not in {mark}"
                    assert name not in found[sdk], f"{name} stands twice"
                    found[sdk].add(name)
    return found


def played() -> dict[str, set[str]]:
    """The scenarios that there are tests of, by SDK."""

    def names(pattern: str, files: str) -> set[str]:
        return {name for file in HERE.glob(files) for name in re.findall(pattern, file.read_text(), re.MULTILINE)}

    return {
        "JavaScript": names(r'^scenario\("([^"]+)"', "*.test.mjs"),
        "Python": {name.replace("_", "-") for name in names(r"^def test_(\w+)", "test_python_*.py")},
        "Java": names(r'scenario\("([^"]+)"', "java/*.java"),
    }


def test_the_table_is_what_is_tested() -> None:
    told, tested = table(), played()
    for sdk in SDKS:
        assert tested[sdk], f"there is no test of {sdk}"
        assert told[sdk] - tested[sdk] == set(), f"{sdk}: told, but not tested"
        assert tested[sdk] - told[sdk] == set(), f"{sdk}: tested, but not told"
