"""What is wrong with data: found when it is listed or looked through, told with its fix."""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "suspicion"]
SHOWN = 3  # files that a line names


class Fault(NamedTuple):
    """One mistake in the data, with every file that shows it.

    Attributes:
        kind: A word from the table of faults in ``docs/faults.md`` (``size``, ``unpaired``).
        message: What is wrong and what probably happened, without file names; no full stop.
        fix: The key, value or command that mends it; no full stop.
        files: Paths of the files, in the order of the samples (copies: group after group).
        samples: Names of the samples, as far as there are any, in the same order.
        severity: ``error``: training stops or learns nonsense. ``warning``: numbers will
            mislead. ``suspicion``: a look at the pictures is needed to tell.
    """

    kind: str
    message: str
    fix: str
    files: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    severity: Severity = "error"

    def line(self) -> str:
        """The fault in one line: files first, then the cause, then the fix."""
        shown = ", ".join(self.files[:SHOWN])
        more = f" and {len(self.files) - SHOWN} more" if len(self.files) > SHOWN else ""
        return f"{shown}{more}: {self.message}; {self.fix}" if self.files else f"{self.message}; {self.fix}"
