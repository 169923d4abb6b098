"""Label new pictures: ``python -m segkit.predict run=RUN input=FOLDER``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from segkit.cli import check_threshold, launch
from segkit.error import UserError
from segkit.trust import names

log = logging.getLogger(__name__)

KINDS = ("overlay", "color", "probabilities")
SOME_FAILED = 1  # exit code: the rest was done


def predict(cfg: Any) -> int:
    """Label every picture below ``input``; return how many could not be read."""
    check_threshold(cfg.threshold)
    if isinstance(cfg.save, str) or cfg.save is None:
        raise UserError(f"save={cfg.save}: give a list, such as [overlay,color] or []")
    if wrong := [k for k in cfg.save if k not in KINDS]:
        raise UserError(f"save: there is no '{wrong[0]}'; choose from {', '.join(KINDS)}")
    from hydra.core.hydra_config import HydraConfig

    from segkit import checkpoint
    from segkit.data.limit import allow_pixels
    from segkit.infer.writer import predict_files

    allow_pixels(cfg.data.max_pixels)
    folder = Path(cfg.output or Path(HydraConfig.get().runtime.output_dir) / "predictions")
    device, trust = str(checkpoint.device(cfg.device)), names(cfg.trust)
    predictor = checkpoint.predictor(cfg.run, device, cfg.threshold, trust)
    summary = predict_files(predictor, cfg.input, folder, **{k: k in cfg.save for k in KINDS})
    for name, reason in summary.failed:
        log.error("left out %s: %s", name, reason)
    print(f"labelled: {len(summary.done)}, left out: {len(summary.failed)}; results: {folder}")
    return len(summary.failed)


def main() -> None:
    """Entry point of ``python -m segkit.predict`` and ``segkit predict``."""
    failed: list[int] = []
    launch("predict", lambda cfg: failed.append(predict(cfg)))
    sys.exit(SOME_FAILED if sum(failed) else 0)


if __name__ == "__main__":
    main()
