# SPDX-License-Identifier: GPL-2.0-or-later
"""A burst, a deferred reload, a retry and a check are open at once: what is asked first, and for what."""

from dataclasses import replace

from kdumphpd.listener.schedule import Schedule
from kdumphpd.protocol import Outcome, Request, Result
from tests.unit.listener.schedules import CURRENT, due, online

DEFERRED = Result(Outcome.DEFERRED, detail="2 GiB missing", armed=True, wait=100)


def test_a_deferred_reload_is_due_when_the_wait_is_over(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(DEFERRED, 11)
    assert schedule.deferred_until == 111
    assert schedule.wrong
    assert due(schedule, 111).request is Request.UPDATE


def test_a_burst_meanwhile_is_asked_about_like_any_other(schedule: Schedule) -> None:
    """What the image misses then is more, or nothing: the kernel's update of it may have worked this time."""
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(DEFERRED, 11)
    schedule.uevent(online(2), 20)
    assert schedule.settling == 20
    ask = due(schedule, 21)
    assert (ask.request, ask.burst and ask.burst.opened) == (Request.UPDATE, 20)
    schedule.answered(replace(DEFERRED, detail="4 GiB missing", wait=90), 21)
    assert (schedule.deferred_until, schedule.wrong) == (111, "4 GiB missing")
    schedule.uevent(online(3), 30)
    due(schedule, 31)
    schedule.answered(CURRENT, 31)
    assert (schedule.deferred_until, schedule.wrong) == (None, "")


def test_a_reload_that_was_deferred_into_a_burst_waits_for_that(schedule: Schedule) -> None:
    """It would be out of date at once, and would read crash_hotplug while the kernel updates the image."""
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(DEFERRED, 11)
    schedule.uevent(online(2), 110.5)
    ask = due(schedule, 111.5)
    assert (ask.request, ask.burst and ask.burst.opened) == (Request.UPDATE, 110.5)
    schedule.answered(CURRENT, 112)
    assert due(schedule, 3600).routine


def test_a_check_meanwhile_does_not_end_the_burst_that_it_was_deferred_for(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(DEFERRED, 11)
    schedule.replaced("/run/lock/kdump was written", 20)
    due(schedule, 22)
    schedule.answered(replace(DEFERRED, wait=89), 22)
    ask = due(schedule, 111)
    assert (ask.burst and ask.burst.opened, ask.again) == (10, True)


def test_a_pending_reload_does_not_wait_for_a_deferred_one(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(Result(Outcome.DEFERRED, armed=True, wait=1000), 11)
    schedule.set_pending(True, 20)
    assert schedule.due(20)


def test_a_check_waits_for_an_open_burst(schedule: Schedule) -> None:
    """It would record the changed machine as the one that an unreadable image was loaded for."""
    schedule.replaced("an image was loaded by somebody else", 10)
    schedule.uevent(online(1), 11.5)
    ask = due(schedule, 12.5)
    assert ask.request is Request.UPDATE
    schedule.answered(CURRENT, 12.6)
    check = schedule.due(12.6)
    assert check is not None
    assert check.why == "an image was loaded by somebody else"


def test_a_check_does_not_wait_for_a_reload_that_is_deferred(schedule: Schedule) -> None:
    """An operator may have loaded the image meanwhile."""
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(Result(Outcome.DEFERRED, wait=600, armed=True), 11)
    schedule.replaced("an image was loaded by somebody else", 13)
    assert due(schedule, 15).why == "an image was loaded by somebody else"


def test_a_burst_that_another_request_was_in_the_way_of_is_still_open(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(Result(Outcome.BUSY, armed=True, wait=2), 11)
    assert schedule.open_burst


def test_it_is_asked_about_before_the_next_one(schedule: Schedule) -> None:
    """Or the journal would have no word of it."""
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.uevent(online(2), 20)
    schedule.answered(Result(Outcome.BUSY, armed=True, wait=2), 21)
    first = due(schedule, 23)
    schedule.answered(CURRENT, 23)
    second = schedule.due(23)
    assert [ask and ask.burst and ask.burst.opened for ask in (first, second)] == [10, 20]


def test_while_events_arrive_nothing_is_asked_that_reads_crash_hotplug(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.uevent(online(2), 11.5)
    schedule.answered(Result(Outcome.FAILED, detail="no", armed=True), 11.5)
    schedule.uevent(online(3), 12.4)
    assert due(schedule, 13.4).request is Request.UPDATE


def test_nor_for_a_pending_reload_which_waits_for_nothing(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    schedule.set_pending(True, 10.5)
    assert due(schedule, 10.5).request is Request.UPDATE_UNSETTLED
    schedule.answered(Result(Outcome.RELOADED, armed=True), 10.6)
    assert due(schedule, 11).request is Request.UPDATE
