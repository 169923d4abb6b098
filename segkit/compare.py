"""Is one run better than another? ``python -m segkit.compare RUN_A RUN_B``."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.cli import launch
from segkit.error import UserError
from segkit.trust import names as trusted
from segkit.trust import refuse_untrusted

if TYPE_CHECKING:
    from segkit.report.compare import Comparison, Pair, Side
    from segkit.report.compare_page import Shot

log = logging.getLogger(__name__)


def compare(cfg: Any) -> float | None:
    """Compare as configured; return the difference in mIoU of the first two."""
    _check(cfg)
    from hydra.core.hydra_config import HydraConfig

    from segkit.report.compare import compare_runs, text
    from segkit.report.compare_page import write_comparison
    from segkit.report.stored import read_stored

    comparison = compare_runs([read_stored(Path(run)) for run in cfg.runs])
    folder = Path(HydraConfig.get().runtime.output_dir)
    shots = _shots(comparison, cfg) if cfg.pictures else {}
    others = [a for a in sys.argv[1:] if not a.startswith("runs=")]
    command = shlex.join(["python", "-m", "segkit.compare", *cfg.runs, *others])
    write_comparison(folder, comparison, shots, command, cfg.shown)
    print(text(comparison))
    print(f"results: {folder}")
    return comparison.pairs[0].numbers["mean"]["miou"]["difference"]


def _check(cfg: Any) -> None:
    runs = [cfg.runs] if isinstance(cfg.runs, str) else list(cfg.runs)
    if len(runs) < 2:
        raise UserError("give two runs or more: python -m segkit.compare RUN_A RUN_B")
    if isinstance(cfg.shown, bool) or not isinstance(cfg.shown, int) or cfg.shown < 0:
        raise UserError(f"shown={cfg.shown}: must be a whole number, at least 0")
    if not isinstance(cfg.pictures, bool):
        raise UserError(f"pictures={cfg.pictures}: choose true or false")


def _shots(comparison: Comparison, cfg: Any) -> dict[tuple[str, str], Shot]:
    """Pictures of what changed most; those that cannot be made are left out with a warning."""
    found: dict[tuple[str, str], Shot] = {}
    names = comparison.first.names
    for pair in comparison.pairs:
        wanted = [names[i] for rows in pair.extremes(cfg.shown) for i in rows]
        try:
            drawn = _drawn(pair, wanted, cfg.device, trusted(cfg.trust))
            found |= {(pair.b.letter, name): shot for name, shot in drawn.items()}
        except UserError as error:
            log.warning("no pictures of %s and %s: %s", pair.a.letter, pair.b.letter, error)
    return found


def _drawn(pair: Pair, names: list[str], device: str, trust: tuple[str, ...]) -> dict[str, Shot]:
    """Images, targets and what the first run of either side says of them."""
    if not names:
        return {}
    missing = [side.letter for side in (pair.a, pair.b) if side.runs[0].origin.checkpoint is None]
    if missing:
        raise UserError(f"the checkpoint of {missing[0]} is not where its numbers say")
    from segkit import checkpoint
    from segkit.report.compare_page import Shot

    origin = pair.a.runs[0].origin
    assert origin.checkpoint is not None
    loaded = checkpoint.load(origin.checkpoint, trust)
    refuse_untrusted({"data": origin.data}, pair.a.runs[0].folder, trust)
    data = checkpoint.evaluation_data(loaded, origin.data)
    if hidden := checkpoint.outside(loaded, origin.data, data):
        raise UserError(hidden)
    source = data.source
    samples = {sample.name: sample for sample in source.samples}
    if lost := [name for name in names if name not in samples]:
        raise UserError(f"the data has no sample '{lost[0]}' any more")
    models = [_model(side, device, trust) for side in (pair.a, pair.b)]
    shots = {}
    for name in names:
        image, target = source.read(samples[name])
        assert target is not None  # it was measured
        planes = target.transpose(2, 0, 1) if target.ndim == 3 else target
        shots[name] = Shot(image, planes, *(model.predict(image) for model in models))
    return shots


def _model(side: Side, device: str, trust: tuple[str, ...]) -> Any:
    from segkit import checkpoint

    run = side.runs[0]
    assert run.origin.checkpoint is not None
    where = str(checkpoint.device(device))
    return checkpoint.predictor(run.origin.checkpoint, where, run.numbers["threshold"], trust)


def main() -> None:
    """Entry point of ``python -m segkit.compare`` and ``segkit compare``."""
    launch("compare", compare, bare="runs", several=True)


if __name__ == "__main__":
    main()
