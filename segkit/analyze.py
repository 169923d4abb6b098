"""Look at the data before the first epoch: ``python -m segkit.analyze data=folder data.root=...``."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.cli import launch, with_data_options
from segkit.error import UserError, plural
from segkit.schema import check_whole

if TYPE_CHECKING:
    from segkit.analysis.page import Analysis
    from segkit.analysis.propose import Proposal
    from segkit.augment.audit import Check
    from segkit.data.fault import Fault
    from segkit.data.scan import Facts
    from segkit.types import Sample

log = logging.getLogger(__name__)

# Faults that another label space mends.
BY_LABELS = {"unknown", "binary", "color", "palette", "label_ids", "train_ids", "off_by_one", "antialiased"}


def analyze(cfg: Any) -> int:
    """Look as configured; return the number of faults."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from segkit.analysis.page import write_analysis
    from segkit.analysis.table import analysis_table

    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    check_whole("seed", config["seed"], 0)
    if config["workers"] is not None:
        check_whole("workers", config["workers"], 1)
    folder = Path(HydraConfig.get().runtime.output_dir)
    overrides = list(HydraConfig.get().overrides.task)
    found = _collect(config, folder, overrides)
    # Now, because drawing takes seconds.
    print(analysis_table(found.labels, found.balance, found.weights, found.faults), flush=True)
    if config["audit"]:
        checks = _audit(config, found.source, found.samples, folder)
        found = found._replace(audit=checks, audit_sheet=folder / "audit.png")
    write_analysis(folder, found)
    if found.proposal:
        left = any(f.severity == "error" and f.kind not in BY_LABELS for f in found.faults)
        when = "when the other errors are mended, " if left else ""
        print(f"\n{found.proposal.reason}\n{when}train with: {_train_command(overrides, found.labels_file)}")
    print(f"results: {folder / 'analysis.html'}")
    _judge(folder, found.audit or [], found.faults if config["strict"] else [])
    return len(found.faults)


def _collect(config: dict[str, Any], folder: Path, overrides: Sequence[str]) -> Analysis:
    """Everything that can be known without looking at an augmentation."""
    from segkit.analysis.balance import balance
    from segkit.analysis.fault import find_faults
    from segkit.analysis.page import Analysis
    from segkit.analysis.weights import weights_table

    source, facts, proposal = _look(config, folder)
    labels_file = str(folder / "labels.yaml") if proposal else None
    samples, faults = _divided(config, source, facts)
    faults += find_faults(source, samples, facts, labels_file=labels_file)
    in_training = [s.split in ("train", "") for s in samples]
    return Analysis(
        title=config["name"],
        command=shlex.join(["python", "-m", "segkit.analyze", *overrides]),
        labels=source.labels,
        source=source,
        samples=samples,
        facts=facts,
        faults=[f._replace(fix=with_data_options(f.fix, overrides)) for f in faults],
        balance=balance(samples, facts, source.labels),
        weights=weights_table(facts.pixels[in_training], source.labels),
        proposal=proposal,
        labels_file=labels_file,
        audit=None,
        audit_sheet=None,
    )


def _look(config: dict[str, Any], folder: Path) -> tuple[Any, Facts, Proposal | None]:
    """Scan the data; where the label space is missing or does not fit, propose one in ``folder``."""
    from segkit.analysis.propose import propose
    from segkit.data.cache import cache_folder
    from segkit.data.labels import UNKNOWN, LabelsMissing, labels_yaml
    from segkit.data.make import make_source
    from segkit.data.scan import scan
    from segkit.files import write_text

    cache = cache_folder() if config["cache"] else None
    try:
        source, missing = make_source(config["data"]), False
    except LabelsMissing:
        source, missing = make_source(config["data"], labels=UNKNOWN), True
    samples = sorted(source.samples)
    facts = scan(source, samples, workers=config["workers"], progress=True, cache=cache)
    proposal = propose(source, facts)
    if proposal is None:
        return source, facts, None
    write_text(folder / "labels.yaml", labels_yaml(proposal.labels))
    if missing:
        source = make_source(config["data"], labels=proposal.labels)
        facts = scan(source, samples, workers=config["workers"], progress=True, cache=cache)
    return source, facts, proposal


def _divided(config: dict[str, Any], source: Any, facts: Facts) -> tuple[list[Sample], list[Fault]]:
    """The samples with their parts, as training would divide them; what listing found wrong."""
    from segkit.data.fault import Fault
    from segkit.data.split import assign, read_split
    from segkit.data.state import changed_files

    values, samples = config["data"], sorted(source.samples)
    faults = list(getattr(source, "faults", ()))
    try:
        if values["split"]:
            parts: Sequence[str] = read_split(Path(values["split"]), samples)
            faults += changed_files(Path(values["split"]), source, samples)
        else:
            counts = (lambda: facts.pixels) if values["stratify"] else None
            parts = assign(samples, values["val_fraction"], values["test_fraction"], config["seed"], counts)
    except UserError as error:
        parts = [s.split for s in samples]
        what, _, fix = str(error).partition("; ")
        faults.append(
            Fault("split", f"the data cannot be divided: {what}", fix or "mend or remove data.split")
        )
    return [s._replace(split=p) for s, p in zip(samples, parts, strict=True)], faults


def _audit(config: dict[str, Any], source: Any, samples: Sequence[Sample], folder: Path) -> list[Check]:
    """Check the augmentation and draw what it does."""
    from hydra.utils import instantiate

    from segkit.analysis.audit import audit_table, run_audit
    from segkit.augment.crop import check_classes

    augment = instantiate(config["augment"], _convert_="all")
    check_classes(config["augment"].get("crop_classes"), source.labels.num_classes)
    values = config["data"]
    size = (values["size"][0], values["size"][1])
    train = [s for s in samples if s.split == "train"] or samples
    checks = run_audit(
        source, train, augment, size=size, fit=values["fit"], seed=config["seed"], folder=folder
    )
    print(audit_table(checks))
    return checks


def _train_command(overrides: Sequence[str], labels_file: str | None) -> str:
    """The same data with the proposed label space."""
    kept = [o for o in overrides if o.startswith("data") and not o.startswith("data.labels")]
    return shlex.join(["python", "-m", "segkit.train", *kept, f"data.labels={labels_file}"])


def _judge(folder: Path, checks: Sequence[Check], faults: Sequence[Fault]) -> None:
    """Everything is written: now the exit code."""
    if failed := [c.name for c in checks if c.passed is False]:
        raise UserError(f"the augmentation fails: {', '.join(failed)}; see {folder / 'audit.json'}")
    if faults:
        raise UserError(f"{plural(len(faults), 'fault')} (strict=true); see {folder / 'analysis.html'}")


def main() -> None:
    """Entry point of ``python -m segkit.analyze`` and ``segkit analyze``."""
    launch("analyze", analyze)


if __name__ == "__main__":
    main()
