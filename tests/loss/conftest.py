"""Puts every conf/loss/*.yaml under contract, for every task that it accepts, the moment it is saved."""

from collections.abc import Iterator
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from segkit.loss.loss import Loss
from segkit.paths import CONF_DIR
from segkit.types import LabelSpace, UserError

K = 4
NAMES = sorted(path.stem for path in (CONF_DIR / "loss").glob("*.yaml"))


class Case:
    """One loss for one task, and random batches for it."""

    def __init__(self, name: str, task: str) -> None:
        names = ("background", "thing") if task == "binary" else tuple(f"class{i}" for i in range(K))
        ids = tuple((i,) for i in range(len(names)))
        self.name, self.task = name, task
        self.labels = LabelSpace(names, ((0, 0, 0),) * len(names), ids, task=task)
        self.config = OmegaConf.load(CONF_DIR / "loss" / f"{name}.yaml")

    def loss(self, weights: list[float] | None = None, **options: Any) -> Loss:
        values = {**self.config, **options}
        takes_weights = "class_weights" in values
        values.pop("class_weights", None)
        tensor = torch.tensor(weights) if weights and takes_weights else None
        return hydra.utils.instantiate(values)(labels=self.labels, class_weights=tensor)

    def full(self) -> Loss:
        """The loss with every option that it has switched on."""
        weights = [0.5, 3.0] if self.task == "binary" else [0.5, 3.0, 1.0, 0.2]
        smoothing = {"label_smoothing": 0.1} if "label_smoothing" in self.config else {}
        coefficients = {n: c for n, c in (("ce", 0.7), ("bce", 0.7), ("dice", 1.3)) if n in self.config}
        return self.loss(weights, **smoothing, **coefficients)

    def target(
        self, n: int, seed: int = 0, ignored: float = 0.3, size: tuple[int, int] = (5, 6)
    ) -> torch.Tensor:
        """Targets whose share of ignored pixels differs from image to image."""
        rng = np.random.default_rng(seed)
        k = self.labels.num_classes
        shape = (n, k, *size) if self.task == "multilabel" else (n, *size)
        target = rng.integers(0, 2 if self.task == "multilabel" else k, shape).astype(np.uint8)
        share = rng.uniform(0, 2 * ignored, (n,) + (1,) * (len(shape) - 1))
        target[rng.random(shape) < share] = self.labels.ignore_index
        return torch.from_numpy(target)

    def logits(self, n: int, seed: int = 0, size: tuple[int, int] = (5, 6)) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = (n, self.labels.num_logits, *size)
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    def perfect(self, target: torch.Tensor) -> torch.Tensor:
        """Logits that are sure of the target."""
        if self.task == "multiclass":
            known = torch.where(target == self.labels.ignore_index, 0, target).long()
            return 60.0 * torch.nn.functional.one_hot(known, K).movedim(-1, 1).double()
        return torch.where(target == 1, 60.0, -60.0).double().reshape(self.logits(len(target)).shape)


def cases() -> list[Case]:
    found = []
    for name in NAMES:
        for task in ("multiclass", "binary", "multilabel"):
            case = Case(name, task)
            try:
                case.loss()
            except UserError:
                continue
            found.append(case)
    return found


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors of a few pixels are not worth sharing between threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=cases(), ids=lambda case: f"{case.name}-{case.task}")
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def make_case() -> type[Case]:
    return Case
