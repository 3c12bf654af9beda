"""The project's own cases, which anyone can make to repeat the report."""

import make_cases
import numpy as np
import pytest
from make_cases import CASES, CREDITS

from dip.bench.cases import read_case, read_cases
from dip.regions.mask import kind_of_damage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    make_cases.make(folder)
    return folder


def test_the_bench_reads_each_case(folder):
    cases = read_cases(folder)
    assert [case.name for case in cases] == list(CASES)
    for case in cases:
        truth, unknown = read_case(case)
        assert truth.shape[:2] == unknown.shape
        assert 0.005 < unknown.mean() < 0.55
        assert 0.13e6 < unknown.size < 0.4e6


def test_the_cases_have_gray_and_colour_and_all_kinds_of_damage(folder):
    cases = read_cases(folder)
    assert {case.kind for case in cases} == {"hole", "holes", "text", "scratches", "half", "object"}
    assert {read_case(case)[0].ndim for case in cases} == {2, 3}
    assert [case.name for case in cases if not case.truth] == ["coffee_object"]


def test_the_damage_is_of_the_named_kind(folder):
    kinds = {"text": "thin", "scratches": "thin", "half": "scattered"}
    for case in read_cases(folder):
        assert kind_of_damage(read_case(case)[1]) == kinds.get(case.kind, "hole")


def test_the_damage_is_the_same_each_time(folder, tmp_path):
    make_cases.make(tmp_path)
    for one, other in zip(read_cases(folder), read_cases(tmp_path), strict=True):
        assert np.array_equal(read_case(one)[1], read_case(other)[1])


def test_each_photograph_has_its_author_and_licence():
    assert {case.photo for case in CASES.values()} == set(CREDITS)
    assert all(credit.endswith(("CC0", "public domain")) for credit in CREDITS.values())
