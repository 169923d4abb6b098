"""Run by a forked process, which knows nothing of this folder: see `child.work`."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
torch.set_num_threads(1)

from fuzzing.child import work  # noqa: E402

given = globals()
work(given["TASKS"], given["PLACE"], given["RUN"])
