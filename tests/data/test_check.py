from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.data.check import check, group_leaks
from segkit.data.folder import folder
from segkit.data.labels import read_labels
from segkit.data.streets import scene
from segkit.types import LabelSpace, Sample, UserError

LABELS = read_labels({"names": ["a", "b", "c"]})
RNG = np.random.default_rng(0)


@pytest.fixture
def root(tmp_path):
    for i in range(6):
        for folder_name, value in (
            ("images", RNG.integers(0, 256, (5, 7))),
            ("masks", RNG.choice([0, 1, 255], (5, 7))),
        ):
            (tmp_path / folder_name).mkdir(exist_ok=True)
            Image.fromarray(value.astype(np.uint8)).save(tmp_path / folder_name / f"{i}.png")
    return tmp_path


class Generated:
    """A source without files whose last sample cannot be read."""

    def __init__(self, labels: LabelSpace, targets):
        self.labels, self.targets = labels, targets
        self.samples = [Sample(str(i), Path()) for i in range(len(targets))]

    def read(self, sample):
        target = self.targets[int(sample.name)]
        if target is None:
            raise UserError("cannot draw")
        return np.zeros((*target.shape[:2], 3), np.uint8), target


def test_sound_data_passes(root):
    check(folder(root, LABELS))


def test_every_pair_of_sizes_is_compared_whatever_the_limit(root):
    for i in (1, 3):
        Image.fromarray(np.zeros((5, 8), np.uint8)).save(root / "masks" / f"{i}.png")
    with pytest.raises(
        UserError, match=r"images/1.png is 7x5 .*is 8x5; .* \(and 1 more samples have a fault: .* lists all\)"
    ):
        check(folder(root, LABELS), limit=0)


def test_unknown_ids_are_found_in_the_masks_that_are_read(root):
    Image.fromarray(np.full((5, 7), 9, np.uint8)).save(root / "masks" / "5.png")
    source = folder(root, LABELS)
    with pytest.raises(UserError, match=r"masks/5.png holds ids .* 9 \(35 pixels\)"):
        check(source, limit=2)  # evenly spread: the first and the last
    with pytest.raises(UserError, match=r"masks/5.png"):
        check(source, limit=None)
    check(source, limit=1)


def test_a_missing_file_is_named(root):
    source = folder(root, LABELS)
    (root / "images" / "2.png").unlink()
    with pytest.raises(UserError, match=r"images/2.png does not exist"):
        check(source)


def test_binary_masks_whose_foreground_is_ignored_are_found(root):
    for i in range(6):
        Image.fromarray(RNG.choice([0, 255], (5, 7)).astype(np.uint8)).save(root / "masks" / f"{i}.png")
    with pytest.raises(UserError, match=r"hold only 0 and 255, .*use data.labels=binary"):
        check(folder(root, LABELS))
    check(folder(root, "binary"))


def test_generated_samples_are_not_made_only_to_be_checked():
    check(Generated(LABELS, [None]))  # reading this one would raise


def _folder(tmp_path, change, labels, count=10):
    for i in range(count):
        image, mask = scene(0, i, 96, 192)
        for name, pixels in (("images", image), ("masks", change(mask))):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return folder(tmp_path, labels)


def test_sound_data_has_nothing_to_warn_of(tmp_path):
    assert check(_folder(tmp_path, lambda m: m, "streets")) == []


def test_what_listing_found_stops_training(root):
    (root / "masks" / "3.png").unlink()
    with pytest.raises(UserError, match=r"images/3.png: 1 image without a mask"):
        check(folder(root, LABELS))


def test_cityscapes_train_ids_are_found_though_every_id_is_known(tmp_path):
    source = _folder(tmp_path, lambda m: np.where(m == 255, 0, m).astype(np.uint8), "cityscapes19")
    with pytest.raises(UserError, match=r"the masks \(such as .*0.png\) hold no id above 18, .*labelIds.png"):
        check(source)


def test_smoothed_masks_are_a_warning_where_every_id_is_known(tmp_path):
    def smooth(mask):
        small = cv2.resize(np.minimum(mask, 7), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
        return cv2.resize(small, mask.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    (fault,) = check(_folder(tmp_path, smooth, "streets"))
    assert (fault.kind, fault.severity) == ("antialiased", "warning")
    assert "nearest neighbour" in fault.fix


def test_a_group_on_both_sides_is_a_warning():
    samples = [
        Sample(f"{part}/{group}{i}", Path(f"{part}_{group}{i}.png"), None, group, part)
        for part, group in (("train", "a"), ("val", "a"), ("val", "b"), ("test", "c"))
        for i in range(2)
    ]
    (fault,) = group_leaks(samples)
    assert (fault.kind, fault.severity) == ("group_leak", "warning")
    assert fault.files == ("val_a0.png", "val_a1.png")
    assert fault.samples == ("val/a0", "val/a1")
    assert "'a' in train and val" in fault.message
    assert "2 samples" in fault.message


def test_groups_within_a_part_and_data_without_parts_do_not_leak():
    assert group_leaks([Sample(str(i), Path(f"{i}.png"), None, "a", "train") for i in range(3)]) == []
    assert group_leaks([Sample(str(i), Path(f"{i}.png"), None, "a") for i in range(3)]) == []


def test_a_source_of_other_targets_is_asked_for_their_size(root):
    class Turned(type(folder(root, LABELS))):
        indexed = False

        def target_size(self, sample):
            return (9, 9) if sample.name == "4" else super().target_size(sample)

    source = folder(root, LABELS)
    with pytest.raises(UserError, match=r"images/4.png is 7x5 but its mask .* is 9x9"):
        check(Turned(source.samples, source.labels))
