"""Measure a trained model: ``python -m segkit.evaluate run=RUN split=test``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from segkit.cli import check_threshold, launch
from segkit.error import UserError
from segkit.trust import names

log = logging.getLogger(__name__)


def evaluate(cfg: Any) -> float | None:
    """Measure as configured; return mIoU."""
    if cfg.split not in ("train", "val", "test", "all"):
        raise UserError(f"split={cfg.split}: choose train, val, test or all")
    check_threshold(cfg.threshold)
    if not isinstance(cfg.calibrate, bool):
        raise UserError(f"calibrate={cfg.calibrate}: choose true or false")
    from hydra.core.hydra_config import HydraConfig

    from segkit import build, checkpoint
    from segkit.infer.views import PICTURES, make_page
    from segkit.report.evaluation import write_evaluation
    from segkit.report.table import table

    settings = build.plain(cfg)
    build.check_metric(settings["metric"])
    loaded = checkpoint.load(settings["run"], names(settings["trust"]))
    data = checkpoint.evaluation_data(loaded, settings["data"])
    if hidden := checkpoint.outside(loaded, settings["data"], data):
        log.warning("the page will show no pictures: %s", hidden)
    if settings["split"] == "test" and not data.part("test"):
        log.warning("the data has no test part: measuring val, which has chosen the checkpoint")
        settings["split"] = "val"
    loaded.net.to(checkpoint.device(settings["device"]))
    if settings["calibrate"]:
        loaded = _calibrate(loaded, settings["data"])
    folder = Path(HydraConfig.get().runtime.output_dir)
    evaluation = _measured(loaded, data, settings, folder)
    numbers = write_evaluation(folder, evaluation)
    print(table(numbers, evaluation.about))
    print(f"results: {folder}")
    if (page := make_page(folder, loaded.net, loaded.labels, data, 0 if hidden else PICTURES)) is not None:
        print(f"report: {page}")
    return numbers["mean"]["miou"]


def _measured(loaded: Any, data: Any, settings: dict[str, Any], folder: Path) -> Any:
    """Show every picture of the part to every meter."""
    from segkit import build
    from segkit.data.skip import Skips
    from segkit.infer.measure import measure
    from segkit.metric.counts import OverlapCounts
    from segkit.report.evaluation import Evaluation

    labels, split, threshold = loaded.labels, settings["split"], settings["threshold"]
    protocol, meters = build.protocol(settings["metric"], labels), build.meters(settings["metric"], labels)
    skips, total = Skips(data.max_skipped), len(data.part(split))
    overlaps, batches = OverlapCounts(labels), skips.watch(split, data.eval_dataloader(split), total)
    everything, ignored = [overlaps, *meters.values()], protocol.ignored(labels)
    try:
        measure(loaded.net, labels, batches, everything, threshold, loaded.temperature, ignored)
    finally:
        skips.write(folder)
    counts = overlaps.count()
    about = {
        "checkpoint": str(loaded.path),
        "split": split,
        "resolution": data.resolution,
        "threshold": threshold,
        "temperature": loaded.temperature,
    }
    samples = [data.part(split)[i] for i in counts.index]
    tables = {name: meter.compute() for name, meter in meters.items()}
    name, skipped = loaded.config["name"], skips.names(split)
    return Evaluation(counts, labels, samples, protocol, about, name, tables, meters, skipped)


def _calibrate(loaded: Any, data: Any) -> Any:
    """Fit a temperature on the validation part of the run's data, and keep it in the checkpoint."""
    from segkit import checkpoint
    from segkit.data.skip import Skips
    from segkit.infer.calibrate import calibrate, say

    own = checkpoint.evaluation_data(loaded, {} if "_target_" in data else data)
    images = len(own.part("val"))
    batches = Skips(own.max_skipped).watch("val", own.eval_dataloader("val"), images)
    fitted = calibrate(loaded.net, loaded.labels, batches, images)
    say(fitted)
    loaded = loaded._replace(temperature=fitted.temperature if fitted else 1.0)
    checkpoint.keep_temperature(loaded.path, loaded.temperature)
    return loaded


def main() -> None:
    """Entry point of ``python -m segkit.evaluate`` and ``segkit evaluate``."""
    launch("evaluate", evaluate)


if __name__ == "__main__":
    main()
