"""Paths that stand in files of other people."""

from __future__ import annotations

import os
from pathlib import Path


def inside(text: str, folder: Path, *allowed: Path) -> Path | None:
    """Resolve a path that a file names, unless it leads elsewhere.

    The path is cleared of ``..`` before it is compared and opened, so that no link on the
    way changes where it leads.

    Args:
        text: The path, absolute or relative to ``folder``; a backslash separates like a slash.
        folder: Where relative paths begin.
        allowed: Folders that it may lead into.

    Returns:
        The path, which need not exist; ``None`` where it leaves all of ``allowed``.
    """
    path = Path(os.path.normpath(folder / text.replace("\\", "/")))
    return path if any(_whole(path).is_relative_to(_whole(a)) for a in allowed) else None


def is_file(path: Path) -> bool:
    """Whether there is such a file; no error for what no file can be called (too long, a zero byte)."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises


def file_names(folder: Path) -> set[str]:
    """Names of what lies in a folder; none where there is no such folder."""
    try:
        return set(os.listdir(folder))  # noqa: PTH208 - names alone
    except OSError:
        return set()


def _whole(path: Path) -> Path:
    """Absolute and without ``..``, links left alone: a link in the data is its owner's word."""
    return Path(os.path.normpath(path.absolute()))
