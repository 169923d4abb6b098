from typing import Literal

import pytest

from segkit.schema import check_values, check_whole, fits
from segkit.types import UserError


def _target(
    depth: int,
    lr: float,
    norm: Literal["batch", "group"],
    name: str | None = None,
    size: list[int] | None = None,
) -> None: ...


@pytest.mark.parametrize(
    ("value", "annotation", "right"),
    [
        (3, int, True), (3.0, int, False), (True, int, False), ("3", int, False),
        (3, float, True), (3.5, float, True), (True, float, False), ("x", float, False),
        (None, int | None, True), ("batch", Literal["batch"], True), ("layer", Literal["batch"], False),
        ([1, 2], list[int], True), ([1, "a"], list[int], False), (5, list[int], False),
        ([1, 2], tuple[float, float], True), ({"a": 1}, dict[str, int], True), (1, dict[str, int], False),
    ],
)  # fmt: skip
def test_values_fit_their_annotations(value, annotation, right):
    assert fits(value, annotation) is right


def test_a_wrong_type_names_the_key_the_value_and_what_was_expected():
    with pytest.raises(UserError, match=r"model\.depth=abc: expected a whole number, got str"):
        check_values("model", {"depth": "abc"}, _target)
    with pytest.raises(UserError, match=r"model\.norm=layer: expected one of batch, group"):
        check_values("model", {"norm": "layer"}, _target)


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(UserError, match=r"did you mean 'model\.depth'"):
        check_values("model", {"dept": 3}, _target)


def test_a_list_with_wrong_members_says_what_they_must_be():
    with pytest.raises(
        UserError, match=r"expected a list of whole numbers, such as .* or null, got \['bus'\]"
    ):
        check_values("model", {"size": ["bus"]}, _target)


@pytest.mark.parametrize("value", [0, -1, "abc", 1.5, True, None])
def test_what_is_no_whole_number_or_too_small_is_refused(value):
    check_whole("workers", 1, 1)
    with pytest.raises(UserError, match=f"^workers={value}: give a whole number, at least 1$"):
        check_whole("workers", value, 1)


@pytest.mark.parametrize("value", [1, "a", None, [1], {"a": 1}])
def test_a_parameter_without_an_annotation_takes_anything(value):
    def target(anything):
        pass

    check_values("model", {"anything": value}, target)
