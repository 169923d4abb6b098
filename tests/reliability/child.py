"""What a forked process does: a training command in a folder, as from a shell."""

import multiprocessing
import os
import runpy
import signal
import sys

import torch

ARGUMENTS: list[str] = globals()["arguments"]  # given by whoever runs this file
os.chdir(globals()["folder"])
os.environ.update(globals()["environment"])
HANDLE = os.open(globals()["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(HANDLE, 1)
os.dup2(HANDLE, 2)
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
multiprocessing.set_start_method(
    "fork", force=True
)  # as from a shell; else that of this process's own parent
sys.argv = ["segkit", *ARGUMENTS]

FAULTS = runpy.run_path(os.path.join(os.path.dirname(globals()["__file__"]), "fault.py"))  # noqa: PTH118, PTH120
for name, options in globals().get("faults", []):
    FAULTS[name](**options)

from segkit.train import main  # noqa: E402

main()
