"""What all end-to-end tests share: the path to this folder, so that `serving` can be imported."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
