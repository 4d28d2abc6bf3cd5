"""Runs one Python block in a project of its own; test_docs.py starts it.

    run.py FOLDER KIND MODULE PAGE:LINE

The folder has the site, with the block in its place. The last line printed is JSON: what is
wrong, and which functions of the block nothing has called.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


class Called:
    """Which functions of a file were called."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)
        self.lines: set[tuple[str, int]] = set()

    def __call__(self, frame: types.FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename == self.file:
            self.lines.add((code.co_name, code.co_firstlineno))

    def missing(self) -> list[str]:
        """Functions that were not: lambdas and classes count not."""
        source = Path(self.file).read_text()
        return [
            code.co_name
            for code in functions(compile(source, self.file, "exec"))
            if (code.co_name, code.co_firstlineno) not in self.lines
        ]


def functions(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_flags & 0x2 and not constant.co_name.startswith("<"):  # CO_NEWLOCALS
                yield constant
            yield from functions(constant)


def settings_block() -> list[str]:
    """What the checks and the backends say of a project with these settings."""
    from django.conf import settings
    from django.core.checks import ERROR, run_checks

    from django_jackfield import brokers

    said = [str(one) for one in run_checks() if one.level >= ERROR]
    for alias in settings.JACKFIELD:
        assert brokers[alias].config.alias == alias  # It is made when it is asked for.
    return said


def module_block(module: str, name: str, called: Called) -> list[str]:
    """Imports it, asks the checks, and has it used."""
    import drives
    from django.core.checks import ERROR, run_checks
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    sys.setprofile(called)
    threading.setprofile(called)
    imported = import_module(module)
    said = [str(one) for one in run_checks(tags=["jackfield"]) if one.level >= ERROR]
    page = name.partition(":")[0]
    text = Path(called.file).read_text()
    found = [use for where, mark, use in drives.DRIVES if where == page and mark in text]
    for use in found:
        use(imported)
    sys.setprofile(None)
    threading.setprofile(None)
    return said


def main(folder: Path, kind: str, module: str, name: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
    sys.path[:0] = [str(folder), str(TESTS / "pages")]
    import django
    import names
    import substitutes

    substitutes.install()
    django.setup()
    from django_jackfield import pytest_plugin

    file = folder.joinpath(*module.split(".")).with_suffix(".py")
    source = file.read_text()
    if kind == "settings":
        # The block alone: what stands around it is ours.
        source = (folder / "block.py").read_text()
    fixtures = {one for one in vars(pytest_plugin) if one.startswith("jackfield_")}
    called = Called(file)
    said = names.looked_at(source, fixtures).faults
    silent = names.unnoticed(source, fixtures)
    spots = len(names.looked_at(source, fixtures).spots)
    missing: list[str] = []
    if not said:
        if kind == "settings":
            said = settings_block()
        elif kind == "module":
            said = module_block(module, name, called)
            missing = called.missing()
    print(json.dumps({"faults": said, "missing": missing, "silent": silent, "spots": spots}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:5])
