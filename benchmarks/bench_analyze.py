"""What counting and scanning cost, against decoding the same files and against the plain way.

    python benchmarks/bench_analyze.py [CAMVID_ROOT]

All ways use as many threads or processes as there are processors; they take turns, and each
ratio is the median over the rounds. Without CamVid, generated streets of its size stand in.
CPU seconds count the processes of the plain way too; on a busy machine they tell more than the clock.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from segkit.data.camvid import camvid
from segkit.data.count import count_pixels
from segkit.data.labels import read_labels
from segkit.data.parallel import cpus
from segkit.data.scan import scan
from segkit.data.source import FileSource
from segkit.data.streets import scene
from segkit.paths import CONF_DIR
from segkit.types import Sample

ROUNDS = 9
PAINTED = 12  # large scenes that are painted; the others are these, mirrored and shifted


class Cost(NamedTuple):
    wall: float
    cpu: float


def streets(folder: Path, number: int, height: int, width: int, pillow: bool = True) -> FileSource:
    """Street scenes as files: JPEG 95 as cameras write them, PNG masks as Pillow or OpenCV write them."""
    samples = []
    for i in range(number):
        image, mask = scene(0, i % PAINTED if height > 512 else i, height, width)
        if height > 512:
            image, mask = (np.roll(a, 31 * i, 1)[:, :: 1 - 2 * (i // PAINTED % 2)] for a in (image, mask))
        paths = folder / f"{i:04}.jpg", folder / f"{i:04}.png"
        cv2.imwrite(str(paths[0]), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        if pillow:
            Image.fromarray(mask).save(paths[1])
        else:
            cv2.imwrite(str(paths[1]), np.ascontiguousarray(mask))
        samples.append(Sample(f"{i:04}", *paths))
    return FileSource(samples, read_labels(CONF_DIR / "labels" / "streets.yaml"))


def decode(paths: Sequence[Path]) -> None:
    with ThreadPoolExecutor(cpus()) as pool:
        flags = cv2.IMREAD_UNCHANGED  # what reading gives too: RGB images, masks of one channel
        list(pool.map(lambda path: cv2.imread(str(path), flags).shape, paths))


def plain(path: str) -> dict[int, int]:
    values, counts = np.unique(cv2.imread(path, cv2.IMREAD_UNCHANGED), return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def plain_pool(paths: Sequence[Path]) -> None:
    with multiprocessing.get_context("fork").Pool(cpus()) as pool:
        pool.map(plain, [str(path) for path in paths])


def cost(work: Callable[[], object]) -> Cost:
    before, begun = _cpu(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - begun, _cpu() - before)


def _cpu() -> float:
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def measure(title: str, source: FileSource, samples: Sequence[Sample], cache: Path) -> None:
    masks = [s.mask for s in samples if s.mask]
    scan(source, samples, cache=cache)
    ways: dict[str, Callable[[], object]] = {
        "decode masks": lambda: decode(masks),
        "count_pixels": lambda: count_pixels(source, samples),
        "plain pool": lambda: plain_pool(masks),
        "decode all": lambda: decode([*masks, *(s.image for s in samples)]),
        "scan": lambda: scan(source, samples),
        "scan, cached": lambda: scan(source, samples, cache=cache),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            costs[name].append(cost(way))
    print(f"\n{title}: {len(samples)} samples, {cpus()} at once, median of {ROUNDS}")
    for name, found in costs.items():
        wall, cpu = (statistics.median(c[i] for c in found) for i in (0, 1))
        print(f"  {name:14} {wall:7.3f} s   {cpu:7.3f} CPU s")
    for one, other, wanted in (
        ("count_pixels", "decode masks", "<= 1.3"),
        ("plain pool", "count_pixels", ">= 3.5"),
        ("scan", "decode all", "<= 1.3"),
    ):
        wall, cpu = (
            statistics.median(a[i] / b[i] for a, b in zip(costs[one], costs[other], strict=True))
            for i in (0, 1)
        )
        print(f"  {one + ' / ' + other:28} {wall:5.2f} by the clock, {cpu:5.2f} by CPU   (wanted {wanted})")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for name in ("small", "pillow", "opencv"):
            (base / name).mkdir()
        if len(sys.argv) > 1:
            source = camvid(sys.argv[1])
            chosen = [s for s in source.samples if s.split == "train"]
            measure("CamVid, 360x480", source, chosen, base / "cache")
        else:
            source = streets(base / "small", 367, 360, 480)
            measure("streets, 360x480", source, source.samples, base / "cache")
        for writer in ("pillow", "opencv"):  # OpenCV packs less, which decodes more slowly
            source = streets(base / writer, 60, 1024, 2048, pillow=writer == "pillow")
            measure(f"streets, 1024x2048, masks by {writer}", source, source.samples, base / "cache")


if __name__ == "__main__":
    main()
