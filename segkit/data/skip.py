"""Samples that could not be read and were left out: counted, listed, bounded."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from segkit.error import plural
from segkit.files import write_csv
from segkit.types import Batch, UserError

log = logging.getLogger(__name__)

ON_ERROR = ("raise", "skip")
FILE = "skipped.csv"


class Skipped(NamedTuple):
    """One sample that was left out.

    Attributes:
        part: Its part: ``train``, ``val``, ``test`` or ``all``.
        name: Its name.
        times: How often it was to be read and could not: once per epoch.
        reason: Why, the last time.
    """

    part: str
    name: str
    times: int
    reason: str


class Skips:
    """What was left out so far.

    Args:
        limit: How many samples may be left out before `check` refuses to go on.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows: dict[str, Skipped] = {}

    def add(self, part: str, found: Iterable[tuple[str, str]]) -> None:
        """Count samples of a part: (name, reason) each. The first time of each is a line in the log."""
        for name, reason in found:
            before = self.rows.get(name)
            self.rows[name] = Skipped(part, name, 1 + (before.times if before else 0), reason)
            if before is None:
                log.warning(
                    "left out '%s' (%d of at most %d, data.max_skipped): %s",
                    *(name, len(self.rows), self.limit, reason),
                )

    def check(self, part: str, samples: int) -> None:
        """Stop where too much is missing.

        Args:
            part: The part at hand.
            samples: How many it has.

        Raises:
            UserError: More samples than the limit were left out, or all of the part.
        """
        here = [row for row in self.rows.values() if row.part == part]
        if here and len(here) >= samples:
            raise UserError(f"no picture of the {part} part can be read; the last: {here[-1].reason}")
        if len(self.rows) > self.limit:
            last = list(self.rows.values())[-1]
            raise UserError(
                f"{plural(len(self.rows), 'picture')} could not be read, more than "
                f"data.max_skipped={self.limit}; the last: {last.reason}"
            )

    def watch(self, part: str, batches: Iterable[Batch], samples: int) -> Iterator[Batch]:
        """Hand batches on and count what they lack; check at the end.

        Raises:
            UserError: As `check`.
        """
        for batch in batches:
            self.add(part, batch.skipped)
            yield batch
        self.check(part, samples)

    def names(self, part: str) -> list[str]:
        """Names of the samples of a part that were left out, sorted."""
        return sorted(row.name for row in self.rows.values() if row.part == part)

    def write(self, folder: Path) -> None:
        """Write ``skipped.csv``, if anything was left out.

        Raises:
            UserError: The folder cannot be written to.
        """
        if self.rows:
            rows = sorted(self.rows.values())
            write_csv(folder / FILE, Skipped._fields, [row._asdict() for row in rows])

    def line(self) -> str:
        """What was left out, in one line; empty where nothing was."""
        if not self.rows:
            return ""
        counts = [(p, len(self.names(p))) for p in ("train", "val", "test", "all")]
        shown = ", ".join(f"{n} {p}" for p, n in counts if n)
        return f"{plural(len(self.rows), 'picture')} could not be read and left out ({shown}): see {FILE}"

    def state_dict(self) -> dict[str, Any]:
        """Plain containers for a checkpoint."""
        return {"skipped": [list(row) for row in self.rows.values()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.rows = {row[1]: Skipped(*row) for row in state["skipped"]}
