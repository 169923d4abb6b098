"""Every reader of files that segkit has."""

from __future__ import annotations

from pathlib import Path

from fuzzing.commands import command_reader
from fuzzing.listings import LISTING_READERS
from fuzzing.pictures import PICTURE_READERS
from fuzzing.reader import Reader
from fuzzing.runs import run_readers
from fuzzing.tables import TABLE_READERS


def readers(run: Path) -> dict[str, Reader]:
    """The readers by name.

    Args:
        run: A finished run, whose files are seeds.
    """
    return {
        reader.name: reader
        for reader in (
            *PICTURE_READERS,
            *TABLE_READERS,
            *LISTING_READERS,
            *run_readers(run),
            command_reader(run),
        )
    }
