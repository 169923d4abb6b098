"""The pages of docs/: all are in the site, links lead somewhere, and examples print what is shown."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from segkit import build
from segkit.metric import overlap
from segkit.metric.scored import Scored
from segkit.paths import CONF_DIR
from segkit.types import LabelSpace

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```.*?^```$", flags=re.DOTALL | re.MULTILINE)


def test_every_page_is_in_the_site_and_in_its_list():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    tree = re.search(r"```\{toctree\}\n(.*?)```", index, flags=re.DOTALL)[1]
    listed = [line for line in tree.split() if not line.startswith(":")]
    assert sorted([*listed, "index"]) == [page.stem for page in PAGES]
    assert [name for name in listed if f"]({name}.md)" not in index] == []


def anchors(text: str) -> set[str]:
    """Headings as GitHub and MyST turn them into anchors."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_inside_docs(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        assert target.parent.is_relative_to(ROOT / "docs"), f"{link}: the site has no such page"
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_the_examples_of_metrics_print_what_the_page_shows():
    pairs = re.findall(r"```python\n(.*?)```\n\n(?:```text\n(.*?)```)", METRICS, flags=re.DOTALL)
    assert len(pairs) == METRICS.count("```python") >= 4
    names: dict[str, object] = {}
    for code, shown in pairs:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, "docs/metrics.md", "exec"), names)
        assert printed.getvalue() == shown


def explained(name: str) -> bool:
    return f"`{name}`" in METRICS


def test_every_overlap_number_and_every_word_of_its_protocol_is_explained():
    labels = LabelSpace(("no", "yes"), ((0, 0, 0),) * 2, ((0,), (1,)), task="binary")
    counts = overlap.Counts(
        torch.ones(1, 2, 3, dtype=torch.int64).numpy(), None, torch.zeros(1).long().numpy()
    )
    numbers = overlap.overlap(counts, labels)
    names = {*overlap.PROTOCOL, *numbers["protocol"], *numbers["mean"], *numbers["per_class"]["yes"]}
    assert sorted(n for n in names if not explained(n)) == []


def test_every_key_of_the_protocol_is_explained():
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("evaluate", ["run=any"])
    keys = [f"metric.protocol.{key}" for key in config.metric.protocol if key != "_target_"]
    assert sorted(k for k in [*keys, "data.eval_resolution", "threshold"] if not explained(k)) == []


def test_every_number_of_every_meter_is_explained():
    """A meter that is added to `metric=full` fails here until the page has its block and its numbers."""
    labels = LabelSpace(("no", "yes"), ((0, 0, 0),) * 2, ((0,), (1,)), task="binary")
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = OmegaConf.to_container(compose("evaluate", ["run=any", "metric=full"]).metric)
    target = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    for name, meter in build.meters(config, labels).items():
        meter.update(Scored(torch.randn(1, 2, 4), target, 0, labels))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            numbers = meter.numbers(meter.compute())
        means = numbers.get("mean", {k: v for k, v in numbers.items() if not isinstance(v, dict)})
        per_class = numbers.get("per_class", {"yes": {}})["yes"]
        names = {name, *numbers["protocol"], *means, *per_class}
        assert sorted(n for n in names - {"protocol"} if not explained(n)) == [], name
