"""Where the server binary is."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

REMEDY = "pip install 'django-jackfield[server]', or set JACKFIELD_BIN to the binary"


def find_binary() -> str | None:
    """$JACKFIELD_BIN, the binary of the distribution `jackfield`, or the one on PATH."""
    named = os.environ.get("JACKFIELD_BIN")
    if named:
        return named if Path(named).is_file() else None
    try:
        # A distribution of its own, which need not be there.
        return str(import_module("jackfield").find_bin())
    except (ImportError, AttributeError, FileNotFoundError):
        return shutil.which("jackfield")


def missing() -> str:
    """Why there is no binary, and what helps."""
    named = os.environ.get("JACKFIELD_BIN")
    if named:
        return f"JACKFIELD_BIN is {named}, where no file is: name the jackfield binary, or unset it"
    return f"the jackfield server is not installed: {REMEDY}"


def version_of(binary: str) -> str:
    """The version that a binary tells, such as `0.1.0`. Raises OSError if it does not run."""
    try:
        done = subprocess.run(  # noqa: S603
            [binary, "version"], capture_output=True, text=True, timeout=10, check=True
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"{binary} does not run: {error}") from error
    return done.stdout.split()[-1] if done.stdout.split() else ""
