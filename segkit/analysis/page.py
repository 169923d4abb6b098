"""An analysis -> ``analysis.json``, plots and one self-contained ``analysis.html``."""

from __future__ import annotations

import importlib.metadata
import os.path
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segkit.analysis.plots import STEMS, draw_plots
from segkit.analysis.table import affected, both_ends, by_severity, fault_counts
from segkit.analysis.thumbs import Thumb, file_thumb, sample_thumb, typical, wide_picture
from segkit.data.fault import Fault
from segkit.data.scan import Facts
from segkit.files import write_json, write_text
from segkit.report.html import data_uri, figure, render
from segkit.types import LabelSpace, Sample, Source

PICTURES = 6  # thumbnails of a fault
LISTED = 50  # files of a fault that the page names; analysis.json names all
LIMIT = 14_000_000  # characters of the page
SHEET = 1600  # pixels across the auditor's contact sheet
PACKAGES = ("segkit", "numpy", "opencv-python-headless", "pillow", "matplotlib")


class Analysis(NamedTuple):
    """What was found about data.

    Attributes:
        title: Of the page, such as ``camvid``.
        command: What was typed.
        labels: The K classes.
        source: Reads samples for the pictures.
        samples: In the order of ``facts``, with their parts in ``split``.
        facts: What the scan found.
        faults: What is wrong.
        balance: What `segkit.analysis.balance.balance` returns.
        weights: What `segkit.analysis.weights.weights_table` returns.
        proposal: An object with ``labels``, a proposed label space, and ``reason``; or nothing.
        labels_file: Where the proposed label space was written.
        audit: Checks of the augmentation: objects with ``name``, ``passed`` (``None``: nothing to
            pass, a mere figure) and ``message``.
        audit_sheet: The contact sheet of the augmentation, a picture.
    """

    title: str
    command: str
    labels: LabelSpace
    source: Source
    samples: Sequence[Sample]
    facts: Facts
    faults: Sequence[Fault]
    balance: Mapping[str, Any]
    weights: Mapping[str, Any]
    proposal: Any = None
    labels_file: str | None = None
    audit: Sequence[Any] | None = None
    audit_sheet: Path | None = None


def write_analysis(folder: Path, analysis: Analysis) -> None:
    """Write ``analysis.json``, ``plots/*.png`` with their ``.csv``, and ``analysis.html``.

    Raises:
        UserError: The folder cannot be written to.
    """
    about = _about(analysis)
    write_json(folder / "analysis.json", {**about, **_numbers(analysis)})
    plots = draw_plots(folder / "plots", analysis.labels, analysis.balance, analysis.weights, analysis.title)
    values = {
        **about,
        "title": analysis.title,
        "labels": analysis.labels,
        "parts": analysis.balance["parts"],
        "split_parts": {p: n for p, n in analysis.balance["parts"].items() if p != "all"},
        "weights": analysis.weights,
        "fault_counts": fault_counts(analysis.faults),
        "figures": {stem: figure(*plots[stem]) if stem in plots else None for stem in STEMS},
        "proposal": analysis.proposal,
        "labels_file": analysis.labels_file,
        "audit": analysis.audit or [],
        "audit_sheet": _view(wide_picture(analysis.audit_sheet, SHEET)) if analysis.audit_sheet else None,
    }
    room = LIMIT - len(render("analysis.html.j2", {**values, "faults": [], "typical": []}))
    write_text(folder / "analysis.html", render("analysis.html.j2", {**values, **_pictures(analysis, room)}))


def _about(analysis: Analysis) -> dict[str, Any]:
    return {"command": analysis.command, "data": data_folder(analysis.samples), "versions": _versions()}


def data_folder(samples: Sequence[Sample]) -> str:
    """The folder that holds all images; empty for generated samples."""
    folders = {str(s.image.parent.absolute()) for s in samples if s.image != Path()}
    return os.path.commonpath(folders) if folders else ""


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # a source tree that is not installed
            found[package] = "not installed"
    return found


def _numbers(analysis: Analysis) -> dict[str, Any]:
    labels, proposal = analysis.labels, analysis.proposal
    return {
        "classes": list(labels.names),
        "task": labels.task,
        "images": {part: numbers["images"] for part, numbers in analysis.balance["parts"].items()},
        "faults": [f._asdict() for f in by_severity(analysis.faults)],
        "proposal": proposal and {"reason": proposal.reason, "labels": proposal.labels.to_dict()},
        "labels_file": analysis.labels_file,
        "audit": [{"name": c.name, "passed": c.passed, "message": c.message} for c in analysis.audit or []],
        "weights": analysis.weights,
        "balance": analysis.balance,
    }


def _pictures(analysis: Analysis, room: int) -> dict[str, Any]:
    """Faults and typical samples with thumbnails, as many as fit into ``room`` characters."""
    by_name = {s.name: s for s in analysis.samples}
    faults = []
    for fault in by_severity(analysis.faults):
        thumbs = [_view(t) for t in _fault_thumbs(analysis.source, fault, by_name)]
        room -= sum(len(t["picture"]) for t in thumbs)
        files = fault.files or fault.samples
        faults.append(
            {
                **fault._asdict(),
                "affected": affected(fault),
                "listed": files[:LISTED],
                "more": len(files) - LISTED,
                "thumbs": thumbs if room > 0 else [],
            }
        )
    shown = []
    for i, reason in _typical(analysis).items():
        view = _view(sample_thumb(analysis.source, analysis.samples[i], reason))
        room -= len(view["picture"])
        shown += [view] if room > 0 else []
    return {"faults": faults, "typical": shown}


def _fault_thumbs(source: Source, fault: Fault, by_name: Mapping[str, Sample]) -> list[Thumb]:
    known = [by_name[name] for name in dict.fromkeys(fault.samples) if name in by_name]
    if known:
        return [sample_thumb(source, sample) for sample in known[:PICTURES]]
    return [file_thumb(Path(path)) for path in fault.files[:PICTURES] if Path(path).is_file()]


def _typical(analysis: Analysis) -> Mapping[int, str]:
    shares = [row["share"] or 0.0 for row in analysis.balance["parts"]["all"]["classes"]]
    classes = [k for k in both_ends(shares) if k is not None]
    return typical(analysis.samples, analysis.facts, analysis.labels, classes)


def _view(thumb: Thumb) -> dict[str, Any]:
    picture = data_uri(thumb.jpeg, "image/jpeg") if thumb.jpeg else ""
    return {**thumb._asdict(), "picture": picture, "width": thumb.size[0], "height": thumb.size[1]}
