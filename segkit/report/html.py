"""Values -> one HTML page that needs nothing else: style, script, pictures and numbers are inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent / "page"
NOTHING = "–"  # noqa: RUF001  # an en dash is as wide as a digit


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill a template of `FOLDER`; everything that is put in is escaped.

    The page carries a policy that forbids every request and every script but its own.

    Args:
        template: Name of the file, such as ``analysis.html.j2``.
        values: What the template uses; a name that is missing is an error.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "percent": percent, "number": number}
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    own = {
        "style": Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return environment.get_template(template).render({**values, **own})


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as an address that holds them (``kind``: ``image/png``, ``text/csv``)."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


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
