"""Make the page of a run anew: ``python -m segkit.report RUN``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.cli import launch
from segkit.error import UserError
from segkit.schema import check_whole
from segkit.trust import names, refuse_resolvers, refuse_untrusted

if TYPE_CHECKING:
    from segkit.report.record import Record
    from segkit.report.view import View

log = logging.getLogger(__name__)


def report(cfg: Any) -> str:
    """Write the page as configured; return its path."""
    check_whole("pictures", cfg.pictures, 0)
    from segkit.report.record import read_record
    from segkit.report.run_page import write_report

    # First without pictures and all that is heavy: what is damaged is said at once.
    page = write_report(Path(cfg.run))
    if cfg.pictures:
        record = read_record(page.parent)
        write_report(page.parent, *_pictures(record, cfg.pictures, cfg.device, names(cfg.trust)))
    print(f"report: {page}")
    return str(page)


def _pictures(
    record: Record, most: int, device: str, trust: tuple[str, ...]
) -> tuple[list[View], list[View]]:
    """Pictures where the network and its data are at hand; else none, and a line that says why."""
    from segkit import build, checkpoint
    from segkit.infer.views import pictures_of

    target = checkpoint.device(device)
    try:
        own = record.card is not None or record.metrics is None
        source = record.folder if own or record.metrics is None else record.metrics.text("checkpoint")
        loaded = checkpoint.load(source, trust)
        named = {} if own else _data(record, trust)
        data = checkpoint.evaluation_data(loaded, named)
        if hidden := checkpoint.outside(loaded, named, data):
            raise UserError(hidden)
        return pictures_of(record, loaded.net.to(target), loaded.labels, data, most)
    except Exception as error:  # whatever is wrong with them, the numbers can be shown
        log.warning("the page has no pictures: %s", build.first_line(error))
        return [], []


def _data(record: Record, trust: tuple[str, ...]) -> dict[str, Any]:
    """What an evaluation was told about its data."""
    from omegaconf import OmegaConf

    refuse_resolvers(record.config.value, record.config.file)
    node = OmegaConf.create(record.config.value).get("data") or {}
    values: Any = OmegaConf.to_container(node, resolve=True)
    refuse_untrusted({"data": values}, record.config.file, trust)
    return values


def main() -> None:
    """Entry point of ``python -m segkit.report`` and ``segkit report``."""
    launch("report", report, bare="run")


if __name__ == "__main__":
    main()
