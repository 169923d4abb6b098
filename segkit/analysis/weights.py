"""The weights laboratory: every scheme of ``loss.class_weights`` side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segkit.loss.weights import CAP, SCHEMES, class_weights, loss_share
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.types import Array

# With p a class's share of the training pixels, before scaling and capping.
FORMULAS = {
    "uniform": "1",
    "inverse": "1 / p",
    "median_frequency": "median of f / f, with f the class's share in the images that show it",
    "effective_number": "(1 - β) / (1 - β^n) with β = 0.999, n = 10 000 p",
    "enet": "1 / ln(1.02 + p)",
    "sqrt": "1 / √p",
}


def weights_table(counts: Array, labels: LabelSpace) -> dict[str, Any]:
    """Compute what each scheme would do in training, by the code that training uses.

    Args:
        counts: ``[images, K]`` int64, pixels of each class in each training image.
        labels: Names of the K classes.

    Returns:
        Plain containers: ``images``; ``cap``, the largest weight; ``missing``, why there is no
        scheme (``None`` where there is); ``schemes``: per scheme ``name``, ``key`` (what to type),
        ``formula``, and ``classes``: K dicts with ``name``, ``weight``, ``loss_share`` (what the
        class carries of the cross-entropy while all pixels lose the same), ``capped`` (the cap
        bit) and ``known``: False for a class without a training pixel, whose weight is 1.
    """
    head: dict[str, Any] = {"images": len(counts), "cap": CAP, "missing": None}
    try:
        return {**head, "schemes": [_scheme(name, counts, labels) for name in SCHEMES]}
    except UserError:
        missing = "no training mask has a labelled pixel, so there is nothing to weigh"
        return {**head, "missing": missing, "schemes": []}


def _scheme(name: str, counts: Array, labels: LabelSpace) -> dict[str, Any]:
    weights = class_weights(name, counts)
    shares = loss_share(weights, counts, labels.task)
    classes = [
        {
            "name": title,
            "weight": weight,
            "loss_share": share,
            "capped": weight >= CAP * (1 - 1e-9),
            "known": known > 0,
        }
        for title, weight, share, known in zip(
            labels.names, weights, shares, counts.sum(0).tolist(), strict=True
        )
    ]
    return {"name": name, "key": f"loss.class_weights={name}", "formula": FORMULAS[name], "classes": classes}
