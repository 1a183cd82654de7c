# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from kdumphpd.ids import IdSet


def test_neighbours_melt_into_one_range() -> None:
    ids = IdSet([3, 1, 2, 10])
    assert str(ids) == "1-3,10"
    ids.add(4)
    ids.add(0)
    assert list(ids.ranges()) == [(0, 4), (10, 10)]


def test_the_number_between_two_ranges_joins_them() -> None:
    ids = IdSet([0, 1, 3, 4])
    ids.add(2)
    assert str(ids) == "0-4"


def test_taking_a_number_out_splits_its_range() -> None:
    ids = IdSet.parse("0-4")
    ids.discard(2)
    assert str(ids) == "0-1,3-4"
    ids.discard(0)
    ids.discard(4)
    assert str(ids) == "1,3"


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    ids = IdSet.parse("2-3")
    for absent in (0, 1, 4, 100):
        ids.discard(absent)
    assert str(ids) == "2-3"


def test_adding_twice_is_adding_once() -> None:
    ids = IdSet([7, 7])
    assert len(ids) == 1
    assert list(ids) == [7]


def test_an_empty_text_is_the_empty_set() -> None:
    ids = IdSet.parse("\n")
    assert not ids
    assert str(ids) == ""
    assert 0 not in ids


def test_the_kernels_list_format_is_read() -> None:
    ids = IdSet.parse("0-3,8,10-11\n")
    assert list(ids) == [0, 1, 2, 3, 8, 10, 11]
    assert 3 in ids
    assert 4 not in ids
    assert len(ids) == 7


def test_a_list_that_overlaps_is_read_as_the_set_it_means() -> None:
    assert IdSet.parse("5-9,0-6") == IdSet(range(10))


@pytest.mark.parametrize("text", ["x", "1-", "-1", "3-1", "1-2-3", "1 2", "0x10", "1,-", "1.5", "²"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a list|ends before"):
        IdSet.parse(text)


def test_a_quarter_of_a_million_blocks_are_one_range() -> None:
    assert list(IdSet(range(262144)).ranges()) == [(0, 262143)]


def test_its_representation_reads_back() -> None:
    ids = IdSet([1, 2, 5])
    assert repr(ids) == "IdSet.parse('1-2,5')"
    assert ids == IdSet.parse("1-2,5")
    assert ids != {1, 2, 5}


def test_a_set_that_changes_cannot_be_a_key() -> None:
    with pytest.raises(TypeError):
        hash(IdSet())
