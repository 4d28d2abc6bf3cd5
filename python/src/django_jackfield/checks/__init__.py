"""System checks. Each module of this package registers its own with `register_checks()`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

TAG = "jackfield"


def register_checks() -> None:
    """Called by the app config."""
    for module in sorted(found.name for found in pkgutil.iter_modules(__path__)):
        import_module(f"{__name__}.{module}").register_checks()
