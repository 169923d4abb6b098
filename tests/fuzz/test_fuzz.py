"""Whatever a file holds, it is read, or refused in one line: no traceback, no hang, bounded memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fuzzing.parent import cores, fuzz, kinds
from fuzzing.readers import readers

FAST = 25  # files of each reader in every run of the tests
SOAK = int(os.environ.get("SEGKIT_FUZZ", "10000"))  # the same in `make soak`
GROWN = 700 * 2**20  # bytes


@pytest.fixture(scope="module")
def known(finished: Path):
    return readers(finished)


def test_a_few_damaged_files_of_every_kind(known, finished):
    tasks = {name: range(FAST // (10 if reader.slow else 1)) for name, reader in known.items()}
    outcomes, findings = fuzz(tasks, finished, processes=1)
    assert not findings, kinds(findings)
    for name, outcome in outcomes.items():
        assert outcome.used + outcome.refused == len(tasks[name]), name
        assert outcome.memory < GROWN, name


def test_a_case_can_be_made_again(known):
    for reader in known.values():
        assert [reader.case(i) for i in range(3)] == [reader.case(i) for i in range(3)]
        assert len({reader.case(i) for i in range(9)}) > 2, reader.name


@pytest.mark.soak
def test_many_damaged_files_of_every_kind(known, finished):
    tasks = {name: range(max(1, SOAK // reader.seldom)) for name, reader in known.items()}
    outcomes, findings = fuzz(tasks, finished, processes=cores())
    print()
    for name, outcome in outcomes.items():
        print(
            f"{name:24} {len(tasks[name]):6} inputs, {outcome.used:6} read, {outcome.refused:6} refused, "
            f"{outcome.seconds:6.1f} s, +{outcome.memory >> 20} MB"
        )
    assert not findings, kinds(findings)
    assert max(outcome.memory for outcome in outcomes.values()) < GROWN
