"""Every reader of files that segkit has."""

from __future__ import annotations

from fuzzing.pictures import PICTURE_READERS
from fuzzing.reader import Reader
from fuzzing.tables import TABLE_READERS

READERS: dict[str, Reader] = {reader.name: reader for reader in (*PICTURE_READERS, *TABLE_READERS)}
