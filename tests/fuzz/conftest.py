"""The engine lies beside the tests, as a package that forked processes can import, too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
