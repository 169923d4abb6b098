"""A trained network, its data and some samples of it -> pictures for a page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from segkit.data.datamodule import SegmentationData
from segkit.lost import lose, system_error
from segkit.metric.scored import Scored
from segkit.model.whole import picture_logits
from segkit.report.failing import shown_counts
from segkit.report.record import Record, read_record
from segkit.report.run_page import write_report
from segkit.report.view import View, draw_view
from segkit.report.worst import suspicious_crops, worst_pictures
from segkit.types import LabelSpace, UserError

log = logging.getLogger(__name__)

PICTURES = 12  # of each kind on the page of a run that has just ended


class Wanted(NamedTuple):
    """A picture to be shown.

    Attributes:
        index: Position of the sample in its part.
        caption: What is to be seen.
        box: (top, left, height, width) in pixels of the target of what is enlarged; ``None``: the
            whole picture.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index
    caption: str = ""
    box: tuple[int, int, int, int] | None = None


@torch.inference_mode()
def make_views(
    net: nn.Module,
    labels: LabelSpace,
    data: SegmentationData,
    split: str,
    wanted: Sequence[Wanted],
    threshold: float = 0.5,
    temperature: float = 1.0,
    ignored: Sequence[int] = (),
) -> list[View]:
    """Label some samples, just as an evaluation does, and draw them.

    Args:
        net: uint8 images -> logits (see ``segkit.model.wrapper``), put into evaluation
            mode; its device is used.
        labels: What the logits mean.
        data: Reads the samples; only the wanted ones.
        split: Their part.
        wanted: Which samples; two pictures of one sample in a row share its prediction.
        threshold: Probability from which on a sigmoid output counts as present.
        temperature: What logits are divided by before they become probabilities.
        ignored: Classes whose pixels in the target count nowhere.

    Returns:
        A view for each that is wanted and can be read, in the same order.
    """
    device = next(net.eval().parameters()).device
    views, last, scored = [], None, None
    for index, caption, box in wanted:
        try:
            image, batch = data.eval_sample(split, index)
        except UserError as error:  # the page of a run that has lost a picture shows the others
            log.warning("not on the page: %s", error)
            continue
        if scored is None or last != index:
            moved = batch._replace(image=batch.image.to(device), target=batch.target.to(device))
            logits, own = next(picture_logits(net, moved))
            scored, last = Scored(logits, own, index, labels, threshold, temperature, ignored), index
        target, prediction = scored.target.cpu().numpy(), scored.prediction.cpu().numpy()
        views.append(draw_view(image, target, prediction, labels, batch.names[0], caption, box))
    return views


def make_page(
    folder: Path, net: nn.Module, labels: LabelSpace, data: SegmentationData, most: int = PICTURES
) -> Path | None:
    """Write the page of a run that has just ended, with pictures.

    Numbers and weights are safe by then: what goes wrong here is a warning.

    Returns:
        The page; ``None`` where it could not be written.
    """
    try:
        record = read_record(folder)
        return write_report(folder, *pictures_of(record, net, labels, data, most))
    except Exception as error:
        if system_error(error) is not None:
            lose("report.html", error)
        else:
            log.warning("there is no report.html: %s: %s", type(error).__name__, error)
        return None


def pictures_of(
    record: Record, net: nn.Module, labels: LabelSpace, data: SegmentationData, most: int
) -> tuple[list[View], list[View]]:
    """Pictures for the page of a run: the worst ones, and labels that may be wrong.

    Where nothing was measured after training, some of the validation part are shown.

    Args:
        record: What the run folder holds.
        net: As in `make_views`.
        labels: As in `make_views`.
        data: As in `make_views`.
        most: How many of each kind.

    Returns:
        Whole pictures, and enlarged parts of pictures.

    Raises:
        UserError: The data is not that of the record.
    """
    if record.metrics is None or not record.counts:
        return make_views(net, labels, data, "val", _spread(most, len(data.part("val")))), []
    split, left_out = record.metrics.text("split"), record.metrics.table("protocol").texts("ignored_classes")
    how: dict[str, Any] = {
        "threshold": record.metrics.number("threshold") or 0.5,
        "temperature": record.metrics.number("temperature") or 1.0,
        "ignored": [labels.names.index(name) for name in left_out if name in labels.names],
    }
    _check_names(record, data, split)
    counts = shown_counts(record)
    doubted = [row.value for row in record.metrics.table("failure").rows("suspicious")]
    worst = [
        Wanted(int(counts.index[c.position]), c.reason) for c in worst_pictures(counts, labels, doubted, most)
    ]
    crops = [
        Wanted(int(counts.index[d.position]), d.reason, d.box)
        for d in suspicious_crops(counts, doubted, most)
    ]
    return (
        make_views(net, labels, data, split, worst, **how),
        make_views(net, labels, data, split, crops, **how),
    )


def _spread(most: int, total: int) -> list[Wanted]:
    """Positions in the middle of equal parts of ``total``."""
    count = min(most, total)
    return [Wanted((2 * i + 1) * total // (2 * count), "of the validation part") for i in range(count)]


def _check_names(record: Record, data: SegmentationData, split: str) -> None:
    """The counts are of samples at certain positions: the same ones must be there now."""
    names = [sample.name for sample in data.part(split)] if split in data.readers else []
    for index, name in zip(record.counts["index"], record.counts["names"], strict=True):
        if not 0 <= index < len(names) or names[index] != name:
            raise UserError(f"the data is not what was measured: {name} is not in its place; measure it anew")
