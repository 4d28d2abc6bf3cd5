"""Tokens are signed as the protocol tests do; the store stands beside."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parent.parent / "protocol"):
    sys.path.insert(0, str(folder))
