from segkit.error import plural


def test_a_number_has_its_noun():
    assert [plural(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
