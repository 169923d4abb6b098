"""Which sample is for training, which for validation, which for the test.

`assign` decides; `write_split` freezes the decision in a file that later runs obey.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from segkit.files import write_text
from segkit.types import SPLITS, Sample, Split, UserError

HEADER = ("name", "split", "group")
HASH_MARK = "# sha256 of the lines below: "


def assign(samples: Sequence[Sample], val_fraction: float, test_fraction: float, seed: int) -> list[Split]:
    """Give every sample its part.

    Official splits stay as they are, and no test part is invented beside one; only where the
    official splits leave out validation, it is taken from their training part. Data without
    a split is divided at random by group: a group never straddles, and a sample without a
    group is a group of its own. The result depends on names, groups and seed, not on the
    order of ``samples``.

    Args:
        samples: All of the data.
        val_fraction: Share of samples for validation, 0 up to below 1.
        test_fraction: The same for the test; the sum of both is below 1.
        seed: Decides which groups go where.

    Returns:
        ``train``, ``val`` or ``test`` for each sample.

    Raises:
        UserError: A fraction is out of range, only some samples have an official split, or
            there are fewer groups than parts.
    """
    _check_fractions(val_fraction, test_fraction)
    _check_official(samples)
    official = {s.split for s in samples if s.split}
    if not official:
        fractions: dict[Split, float] = {"val": val_fraction, "test": test_fraction}
        return _by_group(samples, fractions, seed)
    kept: list[Split] = [next(p for p in SPLITS if p == s.split) for s in samples]
    if "val" in official or "train" not in official:
        return kept
    train = [i for i, part in enumerate(kept) if part == "train"]
    parts = _by_group([samples[i] for i in train], {"val": val_fraction}, seed)
    for i, part in zip(train, parts, strict=True):
        kept[i] = part
    return kept


def write_split(path: Path, samples: Sequence[Sample], parts: Sequence[str]) -> str:
    """Freeze a split: one line per sample under a line with the hash of the rest.

    Returns:
        The hash (sha256, hexadecimal).

    Raises:
        UserError: The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(sorted((s.name, part, s.group) for s, part in zip(samples, parts, strict=True)))
    digest = _digest(text.getvalue())
    write_text(path, f"{HASH_MARK}{digest}\n{text.getvalue()}")
    return digest


def read_split(path: Path, samples: Sequence[Sample]) -> list[Split]:
    """Return the part of each sample as a file froze it.

    A file without the line of the hash, made by hand, is taken as it is.

    Raises:
        UserError: The file is missing, was changed since it was frozen, is no split, or
            names other samples than these.
    """
    rows = _rows(path)
    names = Counter(row["name"] for row in rows)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UserError(f"split {path} lists '{twice[0]}' {names[twice[0]]} times; keep one line")
    known = {s.name for s in samples}
    faults = []
    for text, others in (
        ("lists samples that the data does not have", sorted(names.keys() - known)),
        ("does not list samples that the data has", sorted(known - names.keys())),
    ):
        if others:
            faults.append(f"{text}: {len(others)} (first: {', '.join(others[:3])})")
    if faults:
        raise UserError(
            f"split {path} {' and '.join(faults)}; give this data's split, or data.split=null for a new one"
        )
    parts = {row["name"]: _part(path, row["split"], row["name"]) for row in rows}
    return [parts[s.name] for s in samples]


def _check_fractions(val: float, test: float) -> None:
    for key, value in (("val_fraction", val), ("test_fraction", test)):
        if not 0 <= value < 1:
            raise UserError(f"data.{key}={value} must be at least 0 and below 1")
    if val + test >= 1:
        raise UserError(
            f"data.val_fraction={val} and data.test_fraction={test} leave nothing to train on; "
            "their sum must be below 1"
        )


def _check_official(samples: Sequence[Sample]) -> None:
    outside = [s.name for s in samples if not s.split]
    if outside and len(outside) < len(samples):
        raise UserError(
            f"{len(outside)} of {len(samples)} samples have no official split while the others have "
            f"(first: {outside[0]}); give all of them one or none"
        )
    if wrong := next((s for s in samples if s.split and s.split not in SPLITS), None):
        raise UserError(f"sample '{wrong.name}' has the split '{wrong.split}'; choose train, val or test")


def _by_group(samples: Sequence[Sample], fractions: dict[Split, float], seed: int) -> list[Split]:
    """Walk the groups in an order drawn from ``seed``; each goes where most samples are missing."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(samples):
        # A prefix keeps a group apart from a sample that is called like it.
        groups[f"group {sample.group}" if sample.group else f"sample {sample.name}"].append(i)
    shares: dict[Split, float] = {"train": 1 - sum(fractions.values()), **fractions}
    wanted = {part: share * len(samples) for part, share in shares.items() if share > 0}
    if len(groups) < len(wanted):
        kind = "groups" if any(s.group for s in samples) else "samples"
        raise UserError(
            f"{len(groups)} {kind} cannot be divided into {', '.join(wanted)}; add {kind}, "
            "or set data.test_fraction=0 or data.val_fraction=0"
        )
    order = sorted(groups, key=lambda g: (hashlib.sha256(f"{seed} {g}".encode()).digest(), g))
    missing, members = dict(wanted), {part: list[str]() for part in wanted}
    for group in order:
        part = max(missing, key=lambda p: missing[p])
        missing[part] -= len(groups[group])
        members[part].append(group)
    _fill_empty(members, groups)
    part_of = {i: part for part, names in members.items() for name in names for i in groups[name]}
    return [part_of[i] for i in range(len(samples))]


def _fill_empty(members: dict[Split, list[str]], groups: dict[str, list[int]]) -> None:
    """Move the smallest group of the part with most groups into each part that has none."""
    for part in [p for p, names in members.items() if not names]:
        giver = max(members, key=lambda p: len(members[p]))
        smallest = min(members[giver], key=lambda name: len(groups[name]))
        members[giver].remove(smallest)
        members[part].append(smallest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"data.split={path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"data.split={path} cannot be read: {error}") from error
    first, _, rest = text.partition("\n")
    if first.startswith(HASH_MARK):
        if first.removeprefix(HASH_MARK).strip() != _digest(rest):
            raise UserError(
                f"split {path} was changed after it was frozen; restore it, or delete its first line "
                "to use it as it is now"
            )
        text = rest
    reader = csv.DictReader(io.StringIO(text), restval="")
    if not {"name", "split"} <= set(reader.fieldnames or ()):
        raise UserError(f"{path} is no split: its first line must be {','.join(HEADER)}")
    return list(reader)


def _part(path: Path, text: str, name: str) -> Split:
    for part in SPLITS:
        if text.strip() == part:
            return part
    raise UserError(f"split {path}: '{name}' has the split '{text}'; choose train, val or test")
