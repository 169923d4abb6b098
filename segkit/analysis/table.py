"""Faults, balance and weights -> text for a terminal of 100 columns."""

from __future__ import annotations

import os.path
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from segkit.data.fault import SHOWN, Fault, Severity
from segkit.types import LabelSpace

WIDTH = 100
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "suspicion")
MANY, ENDS = 40, 15  # above so many classes: that many of both ends
COLUMN = {"median_frequency": "median_freq", "effective_number": "effective"}


def analysis_table(
    labels: LabelSpace, balance: Mapping[str, Any], weights: Mapping[str, Any], faults: Sequence[Fault]
) -> str:
    """Draw what a user should see first: faults, then classes per part, then class weights.

    Args:
        labels: Names of the K classes.
        balance: What `segkit.analysis.balance.balance` returns.
        weights: What `segkit.analysis.weights.weights_table` returns.
        faults: What is wrong, in any order.

    Returns:
        Lines of plain text, none longer than `WIDTH`. Of more than `MANY` classes the most
        frequent and the rarest are shown.
    """
    shares = [row["share"] or 0.0 for row in balance["parts"]["all"]["classes"]]
    rows = both_ends(shares)
    names = _short([printable(labels.names[k]) if k is not None else "" for k in rows], 22)
    blocks = [_faults(faults), _classes(balance, rows, names), _weights(weights, rows, names)]
    return "\n\n".join(filter(None, blocks))


def by_severity(faults: Sequence[Fault]) -> list[Fault]:
    """Errors first, then warnings, then suspicions; otherwise as they come."""
    return sorted(faults, key=lambda f: SEVERITIES.index(f.severity))


def fault_counts(faults: Sequence[Fault]) -> str:
    """Say how many there are of each severity: ``2 errors, 1 warning``."""
    counts = Counter(f.severity for f in faults)
    shown = [f"{counts[s]} {s}{'s' if counts[s] > 1 else ''}" for s in SEVERITIES if counts[s]]
    return ", ".join(shown) or "no fault"


def printable(text: str) -> str:
    """A name that came from a file, without what would move the cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def affected(fault: Fault) -> str:
    """Say how much a fault concerns: ``12 files``; nothing where it names none."""
    count, noun = (len(fault.files), "file") if fault.files else (len(fault.samples), "sample")
    return f"{count} {noun}{'s' if count > 1 else ''}" if count else ""


def both_ends(shares: Sequence[float]) -> list[int | None]:
    """Class indices, of many the most frequent and the rarest; ``None`` stands for those between."""
    if len(shares) <= MANY:
        return list(range(len(shares)))
    order = sorted(range(len(shares)), key=lambda k: -shares[k])
    return [*order[:ENDS], None, *order[-ENDS:]]


def _faults(faults: Sequence[Fault]) -> str:
    lines = [f"faults: {fault_counts(faults)}"]
    for fault in by_severity(faults):
        concerns = f" ({affected(fault)})" if affected(fault) else ""
        lines.append(f"  {fault.severity}: {printable(fault.kind)}{concerns}")
        for head, text in (("", fault.message), ("fix: ", fault.fix), ("", _files(fault))):
            lines += textwrap.wrap(
                head + printable(text),
                WIDTH,
                initial_indent="    ",
                subsequent_indent="    ",
                break_on_hyphens=False,  # file names stay whole
            )
    return "\n".join(lines)


def _files(fault: Fault) -> str:
    """The first files, by their folder and what differs in it."""
    paths = list((fault.files or fault.samples)[:SHOWN])
    folder = os.path.commonprefix(paths).rpartition("/")[0]  # noqa: RUF071  # cut at a slash here
    names = [p.removeprefix(folder).removeprefix("/") for p in paths]
    left = len(fault.files or fault.samples) - len(paths)
    listed = ", ".join(n if len(n) < 80 else f"...{n[-77:]}" for n in names)
    place = f"in {folder}: " if folder else ""
    return f"{place}{listed}{f' and {left} more' if left > 0 else ''}" if paths else ""


def _short(names: Sequence[str], room: int) -> list[str]:
    return [n if len(n) <= room else n[: room - 1] + "…" for n in names]


def _classes(balance: Mapping[str, Any], rows: Sequence[int | None], names: Sequence[str]) -> str:
    parts, wide = balance["parts"], max(map(len, (*names, "class")))
    heads = [f"{part} ({numbers['masks']})" for part, numbers in parts.items()]
    lines = [
        f"{'':{wide}}" + "".join(f"  {head:>16}" for head in heads),
        f"{'class':{wide}}" + f"  {'pixels':>8}  {'images':>6}" * len(parts),
    ]
    for k, name in zip(rows, names, strict=True):
        if k is None:
            lines.append(_between(balance))
            continue
        cells = [numbers["classes"][k] for numbers in parts.values()]
        lines.append(f"{name:{wide}}" + "".join(f"  {_percent(c['share'])}  {c['images']:>6}" for c in cells))
    ignored = "".join(f"  {_percent(n['ignored_share'])}  {'':6}" for n in parts.values())
    explained = "pixels: share of the labelled ones (ignored: of all); images: how many show the class"
    return "\n".join([*lines, f"{'ignored':{wide}}{ignored}".rstrip(), explained])


def _between(balance: Mapping[str, Any]) -> str:
    count = len(balance["parts"]["all"]["classes"]) - 2 * ENDS
    return f"... {count} classes between these are in analysis.json"


def _percent(share: float | None) -> str:
    """Eight columns, three digits that matter: ``33.2 %``, ``0.00021 %``."""
    if share is None:
        return f"{'-':>8}"
    value = 100 * share
    if 0 < value < 0.0001:
        return "<.0001 %"
    digits = "0" if value == 0 else f"{value:.1f}" if value >= 0.995 else f"{value:.2g}"
    return f"{digits} %".rjust(8)


def _weights(weights: Mapping[str, Any], rows: Sequence[int | None], names: Sequence[str]) -> str:
    if weights["missing"]:
        return f"class weights: {weights['missing']}"
    schemes, wide = weights["schemes"], max(map(len, (*names, "class")))
    lines = [
        f"{'':{wide}}" + "".join(f"  {COLUMN.get(s['name'], s['name']):>11}" for s in schemes),
        f"{'class':{wide}}" + f"  {'weight':>6} {'loss':>4}" * len(schemes),
    ]
    for k, name in zip(rows, names, strict=True):
        cells = [] if k is None else [scheme["classes"][k] for scheme in schemes]
        lines.append(f"{name:{wide}}" + "".join(map(_weight, cells)) if cells else "...")
    explained = (
        f"loss: the share that the class then carries; *: held at the cap of {weights['cap']:g}; "
        "-: not in training"
    )
    return "\n".join([*lines, explained])


def _weight(cell: Mapping[str, Any]) -> str:
    if not cell["known"]:
        return f"  {'-':>6} {'-':>4}"
    value = cell["weight"]
    digits = f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}"
    share = "<1" if 0 < cell["loss_share"] < 0.005 else f"{100 * cell['loss_share']:.0f}"
    return f"  {digits + '*' * cell['capped']:>6} {share:>3}%"
