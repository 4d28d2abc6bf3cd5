"""The Jackfield server: a binary, and where to find it."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator

__all__ = ["find_bin"]


def find_bin() -> str:
    """The path of the binary that this distribution installed. Raises FileNotFoundError.

    Installers put scripts into different folders; these are looked at in turn: the scripts of
    this interpreter, those of the interpreter below a virtual environment, `bin` beside this
    package (`pip install --target`), and the scripts of `pip install --user`.
    """
    name = "jackfield" + (sysconfig.get_config_var("EXE") or "")
    looked_at = list(dict.fromkeys(os.path.join(folder, name) for folder in _folders()))
    for path in looked_at:
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(
        f"the binary {name} is in none of its places ({', '.join(looked_at)}): "
        "pip install --force-reinstall jackfield"
    )


def _folders() -> Iterator[str]:
    yield sysconfig.get_path("scripts")
    yield sysconfig.get_path("scripts", vars={"base": sys.base_prefix})
    package = os.path.dirname(os.path.abspath(__file__))
    # A prefix has lib/python3.X/site-packages in it, a target folder holds the package itself.
    yield os.path.join(os.path.dirname(package), "bin")
    if os.path.basename(os.path.dirname(package)) == "site-packages":
        for_prefix = os.path.abspath(os.path.join(package, *[os.pardir] * 4))
        yield os.path.join(for_prefix, "Scripts" if os.name == "nt" else "bin")
    user = f"{os.name}_user"
    if sys.platform == "darwin" and sys._framework:  # type: ignore[attr-defined]
        user = "osx_framework_user"
    yield sysconfig.get_path("scripts", scheme=user)
