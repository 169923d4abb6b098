"""Values -> one HTML page that needs nothing else: style, script, pictures and numbers are inside."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

FOLDER = Path(__file__).parent / "page"
NOTHING = "–"  # noqa: RUF001  # an en dash is as wide as a digit


def render(template: str, values: Mapping[str, Any], scripts: Sequence[str] = ("page.js",)) -> str:
    """Fill a template of `FOLDER`; everything that is put in is escaped.

    The page carries a policy that forbids every request and every script but its own.

    Args:
        template: Name of the file, such as ``analysis.html.j2``.
        values: What the template uses; a name that is missing is an error.
        scripts: Files of `FOLDER` that become the page's script; ``viewer.js`` makes viewers work.
    """
    script = "".join((FOLDER / name).read_text(encoding="utf-8") for name in scripts)
    own = {
        "style": Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return _environment(FOLDER).get_template(template).render({**values, **own})


@functools.cache
def _environment(folder: Path) -> Environment:
    """Compiling templates takes longer than filling them: it is done once."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code": code,
        "count": count,
        "percent": percent,
        "number": number,
        "short": short,
    }
    return environment


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as an address that holds them (``kind``: ``image/png``, ``text/csv``)."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def figure(png: Path, title: str, text: str) -> dict[str, Any]:
    """A plot with the numbers that lie beside it, for the macro ``figure``.

    Args:
        png: The picture, with a CSV of the same name.
        title: What it shows.
        text: How to read it, in a sentence or two.

    Raises:
        OSError: A file is missing, or the picture is none.
    """
    with Image.open(png) as picture:
        width, height = picture.size
    return {
        "title": title,
        "text": text,
        "picture": data_uri(png.read_bytes(), "image/png"),
        "width": round(width / 1.3),  # plots have more pixels than they are shown with
        "height": round(height / 1.3),
        "csv": data_uri(png.with_suffix(".csv").read_bytes(), "text/csv"),
        "csv_name": f"{png.stem}.csv",
    }


def code(text: str) -> Markup:
    """A line with commands and keys between backticks: these set as code, all of it escaped."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def count(value: int | None) -> str:
    """``1 234 567``, with spaces that do not break; a dash for ``None``."""
    return NOTHING if value is None else f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(share: float | None) -> str:
    """Percent with two decimals, so that columns align: ``33.20``, ``<0.01``; a dash for ``None``."""
    if share is None:
        return NOTHING
    return "<0.01" if 0 < share < 0.00005 else f"{100 * share:.2f}"


def number(value: float | None, decimals: int = 2) -> str:
    """A number with fixed decimals; a dash for ``None``."""
    return NOTHING if value is None else f"{value:.{decimals}f}"


def short(value: float | None) -> str:
    """A number of unknown size in four digits or so: ``0.7312``, ``4.210``, ``12.90``; ``1 234`` if whole."""
    if value is None:
        return NOTHING
    size = abs(value)
    if size >= 1000 or isinstance(value, int):
        return count(round(value))
    return f"{value:.2e}" if 0 < size < 1e-4 else f"{value:.{4 if size < 1 else 3 if size < 10 else 2}f}"
