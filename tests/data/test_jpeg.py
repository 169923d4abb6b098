"""The end of a JPEG is found wherever it stands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segkit.data.jpeg import FEW, follow

HEAD = b"\xff\xd8\xff\xda\x00\x02"  # begin, and a scan without parameters

# What may stand within coded data: bytes, a stuffed 255, restart marks, fill in front of them.
PARTS = st.sampled_from([b"\x00", b"\xd9", b"\xff\x00", b"\xff\xd0", b"\xff\xd7", b"\xff\xff\xd3"])


@given(st.lists(PARTS, max_size=20).map(b"".join), st.integers(0, 5), st.booleans())
def test_the_end_mark_behind_coded_data_is_found(parts, fill, long):
    for begin in range(FEW - 10, FEW + 5) if long else [0]:  # around the end of what is searched first
        file = HEAD + bytes(begin) + parts + b"\xff" * fill
        assert follow(file + b"\xff\xd9" + b"behind it") == ("", len(file))
        assert follow(file)[0] == "it is truncated"
        assert follow(file + b"\xff")[0] == "it is truncated"


def test_a_marker_that_does_not_exist_is_damage():
    assert follow(HEAD + bytes(5000) + b"\xff\x02") == ("its contents are damaged", len(HEAD) + 5000)
