import numpy as np
import pytest
from PIL import Image

from segkit.data.planes import planes
from segkit.types import UserError

SIZE = (4, 6)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def layout(root, *names, value=255):
    """Images of zeros; masks whose first row holds ``value``."""
    for name in names:
        plane = np.zeros(SIZE)
        plane[0] = 0 if "image" in name else value
        save(root / name, plane)
    return root


def present(source):
    """Sample name -> names of the classes that it shows."""
    shown = {}
    for sample in source.samples:
        target = source.read(sample)[1]
        shown[sample.name] = [n for i, n in enumerate(source.labels.names) if (target[0, :, i] == 1).all()]
    return shown


@pytest.mark.parametrize(
    ("masks", "names"),
    [
        ("masks/{class}/{name}", ("masks/car/a.png", "masks/red light/a.tif", "masks/car/b.png")),
        ("masks/{name}/{class}", ("masks/a/car.png", "masks/a/red light.bmp", "masks/b/car.png")),
        ("masks/{name}_{class}", ("masks/a_car.png", "masks/a_red light.png", "masks/b_car.png")),
        (
            "masks/{name}_is_{class}_x.png",
            ("masks/a_is_car_x.png", "masks/a_is_red light_x.png", "masks/b_is_car_x.png"),
        ),
        ("gt/x/m_{class}-{name}", ("gt/x/m_car-a.png", "gt/x/m_red light-a.png", "gt/x/m_car-b.png")),
    ],
)
def test_every_layout_gives_the_same_classes(tmp_path, masks, names):
    source = planes(layout(tmp_path, "images/a.jpg", "images/b.png", *names), masks=masks)
    assert source.labels.names == ("car", "red light")
    assert source.labels.task == "multilabel"
    assert present(source) == {"a": ["car", "red light"], "b": ["car"]}
    assert source.faults == []
    assert len(source.mask_files(source.samples[0])) == 2


@pytest.mark.parametrize(
    "names",
    [
        ("train/images/a.png", "train/masks/car/a.png", "val/images/a.png", "val/masks/car/a.png"),
        ("images/train/a.png", "masks/train/car/a.png", "images/val/a.png", "masks/val/car/a.png"),
        ("images/train/a.png", "masks/car/train/a.png", "images/val/a.png", "masks/car/val/a.png"),
    ],
)
def test_official_splits_are_recognised_wherever_they_stand(tmp_path, names):
    source = planes(layout(tmp_path, *names))
    assert [(s.name, s.split) for s in source.samples] == [("train/a", "train"), ("val/a", "val")]
    assert present(source) == {"train/a": ["car"], "val/a": ["car"]}


def test_a_class_may_be_called_like_a_split(tmp_path):
    source = planes(layout(tmp_path, "images/a.png", "masks/train/a.png", "masks/bus/a.png"))
    assert source.labels.names == ("bus", "train")
    assert present(source) == {"a": ["bus", "train"]}


def test_a_path_that_can_be_cut_in_several_ways_goes_to_the_image_that_exists(tmp_path):
    names = ("images/a.png", "images/a_b.png", "masks/a_car.png", "masks/a_b_car.png", "masks/a_big_car.png")
    source = planes(layout(tmp_path, *names), masks="masks/{name}_{class}")
    assert present(source) == {"a": ["big_car", "car"], "a_b": ["car"]}
    known = {"task": "multilabel", "names": ["b_car", "car"]}
    (tmp_path / "images/a_b.png").unlink()
    assert present(planes(tmp_path, known, masks="masks/{name}_{class}")) == {"a": ["b_car", "car"]}


def test_images_and_masks_may_share_a_folder(tmp_path):
    layout(tmp_path, "image1.jpg")
    save(tmp_path / "image1_car.png", np.ones(SIZE))
    source = planes(tmp_path, images=".", masks="{name}_{class}")
    assert present(source) == {"image1": ["car"]}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 255], [0, 1]),
        ([0, 1], [0, 1]),
        ([0, 7], [0, 1]),
        ([1, 255], [1, 255]),
        ([0, 1, 255], [0, 1, 255]),
        ([0, 1, 2, 255], [0, 1, 1, 1]),  # instances, not void
        ([0, 0], [0, 0]),
    ],
)
def test_every_value_but_zero_means_the_class_and_255_beside_1_is_void(tmp_path, values, expected):
    save(tmp_path / "images/a.png", [np.zeros(len(values))])
    save(tmp_path / "masks/car/a.png", [values])
    source = planes(tmp_path)
    assert source.read_target(source.samples[0])[0, :, 0].tolist() == expected


def test_ids_of_the_label_space_say_what_the_values_mean(tmp_path):
    save(tmp_path / "images/a.png", [np.zeros(4)])
    save(tmp_path / "masks/car/a.png", [[0, 1, 255, 3]])
    save(tmp_path / "masks/bus/a.png", [[0, 0, 255, 255]])
    spec = {"task": "multilabel", "names": [{"name": "car", "ids": [1, 3]}, {"name": "bus", "ids": 2}]}
    source = planes(tmp_path, spec)
    assert source.read_target(source.samples[0])[0].T.tolist() == [[0, 1, 255, 1], [0, 0, 255, 255]]
    strict = planes(tmp_path, {**spec, "names": [{"name": "car", "ids": 1}, {"name": "bus", "ids": 2}]})
    with pytest.raises(
        UserError, match=r"masks/car/a.png: .*3 \(1 pixels\); add it to the ids of class 'car'"
    ):
        strict.read(strict.samples[0])
    for rest, value in (("ignore", 255), ("none", 0), ("car", 1)):
        loose = planes(
            tmp_path, {**spec, "names": [{"name": "car", "ids": 1}, {"name": "bus", "ids": 2}], "rest": rest}
        )
        assert loose.read_target(loose.samples[0])[0, 3, 0] == value


def test_a_missing_file_means_that_the_class_is_absent_or_is_an_error(tmp_path):
    layout(
        tmp_path,
        "images/a.png",
        "images/b.png",
        "images/c.png",
        "masks/car/a.png",
        "masks/bus/a.png",
        "masks/bus/b.png",
    )
    source = planes(tmp_path)
    assert present(source) == {"a": ["bus", "car"], "b": ["bus"], "c": []}
    (bare,) = source.faults
    assert (bare.severity, bare.samples) == ("warning", ("c",))
    assert source.target_size(source.samples[2]) == SIZE
    strict = planes(tmp_path, missing="error")
    assert present(strict) == {"a": ["bus", "car"]}
    (fault,) = strict.faults
    assert fault.severity == "error"
    assert [name[-5:] for name in fault.files] == ["b.png", "c.png"]


def test_masks_without_an_image_and_classes_without_a_name_are_told(tmp_path):
    layout(tmp_path, "images/a.png", "masks/car/a.png", "masks/car/z.png", "masks/sign/a.png")
    source = planes(tmp_path, {"task": "multilabel", "names": ["car"]})
    spare, unnamed = source.faults
    assert spare.files == (str(tmp_path / "masks/car/z.png"),)
    assert "masks of 'sign'" in unnamed.message
    assert unnamed.severity == "warning"
    assert source.read_target(source.samples[0]).shape == (*SIZE, 1)


def test_planes_of_different_sizes_are_both_named(tmp_path):
    layout(tmp_path, "images/a.png", "masks/bus/a.png")
    save(tmp_path / "masks/car/a.png", np.ones((2, 2)))
    source = planes(tmp_path)
    with pytest.raises(UserError, match=r"masks/bus/a.png is 6x4 and .*masks/car/a.png is 2x2"):
        source.read(source.samples[0])


def test_more_than_255_classes_fit(tmp_path):
    layout(tmp_path, "images/a.png", "masks/c7/a.png", value=1)
    save(tmp_path / "masks/c8/a.png", np.r_[[[1] * 6], [[255] * 6], np.zeros((2, 6))])
    names = [f"c{i}" for i in range(300)]
    target = (source := planes(tmp_path, {"task": "multilabel", "names": names})).read(source.samples[0])[1]
    assert (target.dtype, target.shape) == (np.uint16, (*SIZE, 300))
    assert target[:2, 0, 7:9].tolist() == [[1, 1], [0, 65535]]


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ("binary", {}, "data.labels says task: binary; set task: multilabel"),
        (None, {"masks": "masks"}, r"must hold \{class\} and \{name\} once each"),
        (None, {"masks": "masks/{class}{name}"}, "with something between them"),
        (None, {"masks": "masks/{name}/{name}"}, "once each"),
        (None, {"masks": "{class}/{name}"}, "names every file of data.images"),
        (None, {"masks": "gt/{class}/{name}"}, "no folder gt in .*, which holds images, masks"),
        (
            None,
            {"masks": "masks/{name}_{class}"},
            "no file in .* fits; there is the image .*a.png and the mask",
        ),
        (
            {"task": "multilabel", "names": ["cars"]},
            {},
            "'cars', for which there is no mask; did you mean 'car'",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path, labels, options, message):
    layout(tmp_path, "images/a.png", "masks/car/a.png")
    with pytest.raises(UserError, match=message) as caught:
        planes(tmp_path, labels, **options)
    assert "\n" not in str(caught.value)


def test_two_files_for_one_class_of_one_sample_are_refused(tmp_path):
    layout(tmp_path, "images/a.png", "masks/car/a.png", "masks/car/a.tif")
    with pytest.raises(UserError, match=r"two masks of class 'car' belong to 'a': .*a.png and .*a.tif"):
        planes(tmp_path)


def test_groups_come_from_the_name(tmp_path):
    layout(tmp_path, "images/p1/a.png", "masks/car/p1/a.png")
    assert planes(tmp_path, group="^([^/]+)/").samples[0].group == "p1"
