# SPDX-License-Identifier: GPL-2.0-or-later
"""Time unprotected and time with a stale image, counted once and only once, whatever order things come in."""

from dataclasses import replace

from kdumphpd.listener.tally import Spent, Tally
from kdumphpd.protocol import Outcome, Reason, Result, Totals
from kdumphpd.state import Condition, State

FINE = State(0, "", healthy=True, loaded=True, condition=Condition.ARMED)
DEFERRED = replace(FINE, healthy=False, condition=Condition.WRONG)
PENDING = replace(FINE, healthy=False, loaded=False, condition=Condition.UNPROTECTED)

RELOADED = Result(Outcome.RELOADED, Reason.STALE, method="kexec -s", seconds=1.0, unprotected=0.2, armed=True)


def test_a_reload_counts_from_the_first_event_to_its_end() -> None:
    tally = Tally()
    tally.saw(FINE, 0.0)
    tally.answered(RELOADED, opened=10.0, now=14.0)
    tally.saw(FINE, 14.0)
    assert (tally.stale.total(20.0), tally.unprotected.total(20.0)) == (4.0, 0.2)
    assert tally.reloads["reloaded"] == 1


def test_a_deferred_reload_is_stale_all_the_while_and_once() -> None:
    tally = Tally()
    tally.answered(Result(Outcome.DEFERRED, Reason.STALE, wait=30.0, armed=True), opened=10.0, now=12.0)
    assert tally.saw(DEFERRED, 12.0)
    assert not tally.saw(DEFERRED, 30.0)
    assert tally.stale.total(30.0) == 20.0
    tally.answered(RELOADED, opened=10.0, now=43.0)
    assert tally.saw(FINE, 43.0)
    assert tally.stale.total(100.0) == 33.0
    assert sum(tally.stale.counts) == 1


def test_a_reload_that_fails_is_unprotected_until_an_image_is_loaded() -> None:
    tally = Tally()
    failed = Result(Outcome.FAILED, Reason.STALE, seconds=3.0, unprotected=2.0, pending=True)
    tally.answered(failed, opened=5.0, now=10.0)
    tally.saw(PENDING, 10.0)
    assert tally.unprotected.total(11.0) == 3.0
    tally.answered(Result(Outcome.RELOADED, Reason.PENDING, method="kexec", unprotected=1.0, armed=True), None, 20.0)
    tally.saw(FINE, 20.0)
    assert tally.unprotected.total(99.0) == 12.0
    assert tally.reloads == {"reloaded": 1, "failed": 1, "stale": 0, "unsafe": 0}


def test_an_image_that_the_operator_stopped_is_no_unprotected_time() -> None:
    tally = Tally()
    tally.saw(replace(FINE, loaded=False, condition=Condition.NOT_LOADED), 0.0)
    assert tally.unprotected.total(500.0) == 0.0


def test_a_reload_of_an_image_that_described_the_machine_is_no_stale_time() -> None:
    tally = Tally()
    tally.answered(replace(RELOADED, reason=Reason.NOT_UPDATABLE), opened=1.0, now=9.0)
    tally.saw(FINE, 9.0)
    assert tally.stale.total(9.0) == 0.0


def test_reloads_that_others_asked_for_are_counted() -> None:
    tally = Tally()
    assert tally.others(replace(RELOADED, totals=Totals(4, 1.0))) == Totals(), "what was before is not ours to count"
    assert tally.others(replace(RELOADED, totals=Totals(5, 1.2))) == Totals()
    assert tally.reloads["reloaded"] == 0, "answered() counts its own"

    current = Result(Outcome.CURRENT, armed=True, totals=Totals(7, 1.5))
    found = tally.others(current)
    assert (found.reloads, round(found.unprotected, 3)) == (2, 0.3)
    assert tally.reloads["reloaded"] == 2
    assert round(tally.unprotected.closed, 3) == 0.3

    assert tally.others(Result(Outcome.BUSY)) == Totals(), "it does not say"
    assert tally.others(replace(current, totals=Totals(0, 0.0))) == Totals(), "the record was lost"


def test_a_span_counts_in_the_first_bucket_that_holds_it() -> None:
    spent = Spent((1.0, 10.0))
    for seconds in (0.5, 1.0, 2.0, 11.0):
        spent.add(seconds)
    assert (spent.counts, spent.closed) == ([2, 1, 1], 14.5)


def test_a_clock_that_stands_still_gives_no_negative_time() -> None:
    spent = Spent((1.0,))
    spent.begin(10.0)
    spent.begin(5.0)  # one span at a time
    assert spent.total(9.0) == 0.0
    spent.end(9.0)
    assert spent.closed == 0.0
