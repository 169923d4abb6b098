import io

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import OxfordIIITPet

from segkit.data.pets import pets
from segkit.types import UserError

TRIMAP = np.array([[2, 3, 1], [2, 3, 1]], np.uint8)


@pytest.fixture
def root(tmp_path):
    base = tmp_path / "oxford-iiit-pet"
    (base / "images").mkdir(parents=True)
    (base / "annotations" / "trimaps").mkdir(parents=True)
    names = ["Abyssinian_100", "Egyptian_Mau_145", "yorkshire_terrier_187"]
    for name in names:
        Image.new("RGB", (3, 2)).save(base / "images" / f"{name}.jpg")
        Image.fromarray(TRIMAP).save(base / "annotations" / "trimaps" / f"{name}.png")
    (base / "images" / "Abyssinian_100.mat").write_bytes(b"MATLAB 5.0")
    (base / "annotations" / "trimaps" / "._Abyssinian_100.png").write_bytes(b"Mac OS X")
    (base / "annotations" / "trainval.txt").write_text("Abyssinian_100 1 1 1\nEgyptian_Mau_145 10 1 6\n")
    (base / "annotations" / "test.txt").write_text("yorkshire_terrier_187 37 2 25\n")
    return tmp_path


@pytest.mark.parametrize("place", [".", "oxford-iiit-pet"])
def test_the_lists_are_official_parts_and_the_border_is_ignored(root, place):
    source = pets(root / place)
    assert [(s.name, s.split) for s in source.samples] == [
        ("Abyssinian_100", "train"),
        ("Egyptian_Mau_145", "train"),
        ("yorkshire_terrier_187", "test"),
    ]
    assert source.labels.task == "binary"
    assert source.read(source.samples[0])[1].tolist() == [[0, 255, 1]] * 2
    assert source.faults == []


def test_the_layout_is_torchvisions(root):
    theirs = OxfordIIITPet(root, split="trainval", target_types="segmentation")
    ours = pets(root)
    for (_, trimap), sample in zip(theirs, ours.samples, strict=False):
        assert np.array_equal(np.array(trimap), TRIMAP)
        assert sample.mask.samefile(theirs._segs[ours.samples.index(sample)])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "BMP"])
def test_what_is_called_jpg_is_read_as_what_it_is(root, kind):
    content = io.BytesIO()
    Image.new("P" if kind == "GIF" else "RGB", (3, 2)).save(content, kind)
    (root / "oxford-iiit-pet" / "images" / "Egyptian_Mau_145.jpg").write_bytes(content.getvalue())
    source = pets(root)
    assert source.read(source.samples[1])[0].shape == (2, 3, 3)


def test_a_truncated_picture_is_named(root):
    path = root / "oxford-iiit-pet" / "images" / "Abyssinian_100.jpg"
    path.write_bytes(path.read_bytes()[:-20])
    source = pets(root)
    with pytest.raises(UserError, match=r"Abyssinian_100.jpg cannot be read: it is truncated"):
        source.read(source.samples[0])


def test_missing_files_are_faults_and_a_missing_list_is_an_error(root):
    base = root / "oxford-iiit-pet"
    (base / "images" / "Egyptian_Mau_145.jpg").unlink()
    source = pets(root)
    assert [f.kind for f in source.faults] == ["unpaired"]
    assert source.faults[0].files == (str(base / "images" / "Egyptian_Mau_145.jpg"),)
    (base / "annotations" / "test.txt").unlink()
    with pytest.raises(UserError, match=r"does not hold annotations/test.txt; .* data.download=true"):
        pets(root)


def test_download_is_torchvisions_and_happens_once(root, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(OxfordIIITPet, "_download", lambda self: calls.append(self.root))
    pets(root, download=True)
    assert calls == []  # it is there
    with pytest.raises(UserError, match="cannot be fetched: Dataset not found"):
        pets(tmp_path / "new", download=True)
    assert calls == [tmp_path / "new"]


def test_a_download_without_network_is_one_line(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")

    monkeypatch.setattr("torchvision.datasets.oxford_iiit_pet.download_and_extract_archive", fail)
    with pytest.raises(UserError, match=r"data.download=true: the pets cannot be fetched: .*name reso") as e:
        pets(tmp_path / "new", download=True)
    assert "\n" not in str(e.value)
