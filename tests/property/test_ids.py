# SPDX-License-Identifier: GPL-2.0-or-later
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kdumphpd.ids import IdSet

NUMBERS = st.integers(min_value=0, max_value=60)
STEPS = st.lists(st.tuples(st.sampled_from(["add", "discard"]), NUMBERS), max_size=80)


def after(steps: list[tuple[str, int]]) -> tuple[IdSet, set[int]]:
    """The same steps on ours and on Python's set."""
    ours, model = IdSet(), set[int]()
    for step, number in steps:
        getattr(ours, step)(number)
        getattr(model, step)(number)
    return ours, model


@given(STEPS)
def test_it_holds_what_a_set_would_hold(steps: list[tuple[str, int]]) -> None:
    ours, model = after(steps)
    assert list(ours) == sorted(model)
    assert len(ours) == len(model)
    assert bool(ours) == bool(model)
    assert all((number in ours) == (number in model) for number in range(62))


@given(STEPS)
def test_its_ranges_ascend_and_never_touch(steps: list[tuple[str, int]]) -> None:
    ours, _ = after(steps)
    ranges = list(ours.ranges())
    assert all(first <= last for first, last in ranges)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(ranges))


@given(STEPS)
def test_its_text_reads_back_as_the_same_set(steps: list[tuple[str, int]]) -> None:
    ours, model = after(steps)
    assert IdSet.parse(str(ours)) == ours
    assert ours == IdSet(model)


@given(st.lists(st.tuples(NUMBERS, NUMBERS).map(sorted), max_size=10))
def test_a_list_of_ranges_is_their_union_in_whatever_order(ranges: list[list[int]]) -> None:
    text = ",".join(f"{first}-{last}" for first, last in ranges)
    expected = {number for first, last in ranges for number in range(first, last + 1)}
    assert set(IdSet.parse(text)) == expected


@given(st.text(max_size=30))
def test_any_text_is_a_list_or_refused(text: str) -> None:
    try:
        ids = IdSet.parse(text)
    except ValueError:
        return
    assert IdSet.parse(str(ids)) == ids
