"""Write any data as index masks: ``python -m segkit.convert data=voc data.root=... output=FOLDER``."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from segkit.cli import launch
from segkit.error import UserError, plural
from segkit.schema import check_whole

log = logging.getLogger(__name__)


def convert(cfg: Any) -> None:
    """Convert as configured; print what came of it and how it is used."""
    if cfg.images not in ("copy", "link", "none"):
        raise UserError(f"images={cfg.images}: choose copy, link or none")
    if not isinstance(cfg.overwrite, bool):
        raise UserError(f"overwrite={cfg.overwrite}: choose true or false")
    if cfg.workers is not None:
        check_whole("workers", cfg.workers, 1)
    from omegaconf import OmegaConf

    from segkit.data.convert import convert as write
    from segkit.data.make import make_source
    from segkit.data.split import read_split

    settings: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    data, folder = settings["data"], Path(str(settings["output"])).expanduser()
    source = make_source(data)
    if data.get("split"):
        parts = read_split(Path(data["split"]), source.samples)
        source.samples = [s._replace(split=part) for s, part in zip(source.samples, parts, strict=True)]
    for fault in getattr(source, "faults", ()):
        log.warning("left out: %s", fault.line())
    options = {key: settings[key] for key in ("images", "overwrite", "workers")}
    written = write(source, folder, progress=True, **options)
    counts = Counter(s.split for s in written.samples)
    parts_text = ", ".join(f"{count} {part}" for part, count in counts.items() if part)
    print(f"{plural(len(written.samples), 'sample')}{f' ({parts_text})' if parts_text else ''}: {folder}")
    if written.left_out:
        print(f"left out: {plural(len(written.left_out), 'sample')} without a mask")
    kind = "planes" if source.labels.task == "multilabel" else "folder"
    where = " data.images=FOLDER_OF_THE_IMAGES" if settings["images"] == "none" else ""
    print(f"use them: data={kind} data.root={folder} data.labels={folder / 'labels.yaml'}{where}")


def main() -> None:
    """Entry point of ``python -m segkit.convert`` and ``segkit convert``."""
    launch("convert", convert)


if __name__ == "__main__":
    main()
