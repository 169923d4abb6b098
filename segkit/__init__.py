"""segkit: from a folder of images and masks to a segmentation model that can be defended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segkit.dump import Replayed
    from segkit.infer.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["__version__", "load", "replay"]


def load(
    path: str | Path, device: str = "cpu", threshold: float = 0.5, trust: Sequence[str] = ()
) -> Predictor:
    """Load a trained model from a run folder or a checkpoint.

    The file may be a stranger's: nothing in it is executed.

    Args:
        path: A run folder (its best checkpoint is taken) or a ``.ckpt`` file.
        device: Where the network runs, such as ``cpu`` or ``cuda:0``.
        threshold: Probability from which on a sigmoid output counts as present.
        trust: Packages of your own whose networks or data the checkpoint may name, such as
            ``["mypackage"]``; without it only what ``conf/`` offers.

    Returns:
        An object whose ``predict(image)`` takes uint8 RGB ``[H, W, 3]`` and returns class
        indices ``[H, W]``.

    Raises:
        UserError: The file is no checkpoint of segkit's.
    """
    from segkit.checkpoint import predictor  # torch and Lightning take seconds to import

    return predictor(path, device, threshold, trust)


def replay(path: str | Path, device: str = "cpu") -> list[Replayed]:
    """Run the micro-batches again that gave a loss or a gradient which is no number, and print them.

    Args:
        path: ``nan/step_N.ckpt`` of a run folder. It is loaded as data: nothing in it is executed.
        device: Where the network runs, such as ``cpu`` or ``cuda:0``.

    Returns:
        One row per micro-batch: its samples, loss, largest gradient, and the first layer whose
        output is no number.

    Raises:
        UserError: The file is no such dump.
    """
    from segkit.dump import replay as run_again  # torch and Lightning take seconds to import

    rows = run_again(path, device)
    for row in rows:
        print(row)
    return rows
