"""No false alarm on clean data; CamVid and the nuclei of the 2018 Data Science Bowl are not in the project.

Run with SEGKIT_CAMVID=FOLDER (SegNet's layout) and SEGKIT_NUCLEI=FOLDER (images/, instances/).
"""

from __future__ import annotations

import os

import pytest

from segkit.analysis.fault import find_faults
from segkit.analysis.propose import propose
from segkit.data.camvid import camvid
from segkit.data.folder import folder
from segkit.data.labels import read_labels
from segkit.data.scan import scan
from segkit.data.streets import Streets


def _root(name: str) -> str:
    if not os.environ.get(name):
        pytest.skip(f"{name} is not set: give the folder of the data")
    return os.environ[name]


def _faults(source):
    samples = sorted(source.samples)
    facts = scan(source, samples)
    assert propose(source, facts) is None
    return [*getattr(source, "faults", ()), *find_faults(source, samples, facts)]


def test_camvid_has_no_fault_but_sequences_in_several_parts():
    found = _faults(camvid(_root("SEGKIT_CAMVID")))
    assert [f.kind for f in found] == ["group_leak"]
    assert len(found[0].files) == 163  # 101 of validation, 62 of the test


def test_nuclei_have_no_fault():
    assert _faults(folder(_root("SEGKIT_NUCLEI"), "binary", masks="instances")) == []


@pytest.mark.parametrize("size", [(64, 128), (128, 256)])
def test_street_scenes_have_no_fault(size):
    height, width = size
    assert _faults(Streets(read_labels("streets"), 60, 20, 20, 4, height, width)) == []
