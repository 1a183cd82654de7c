# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdumphpd.reload.bound import next_reload

SHARES = st.floats(0.001, 1.0)
GAPS = st.lists(st.floats(0.0, 300.0), min_size=1, max_size=30)


def test_a_gap_of_a_tenth_of_a_second_is_a_twentieth_of_two_seconds() -> None:
    assert next_reload(0.0, ended=10.0, unprotected=0.1, share=0.05) == pytest.approx(11.9)


def test_without_a_gap_there_is_nothing_to_wait_for() -> None:
    assert next_reload(0.0, ended=10.0, unprotected=0.0, share=0.05) == 10.0


@given(SHARES, GAPS)
def test_however_often_it_is_asked_for_the_share_is_kept(share: float, gaps: list[float]) -> None:
    began = now = free_at = 1000.0
    for gap in gaps:
        now = max(now, free_at) + gap
        free_at = next_reload(free_at, now, gap, share)
    assert sum(gaps) <= share * (free_at - began) * (1 + 1e-9) + 1e-6


@given(SHARES, GAPS)
def test_reloads_that_could_not_wait_are_paid_for_afterwards(share: float, gaps: list[float]) -> None:
    began = now = free_at = 1000.0
    for gap in gaps:
        now += gap
        free_at = next_reload(free_at, now, gap, share)
    assert sum(gaps) <= share * (free_at - began) * (1 + 1e-9) + 1e-6
