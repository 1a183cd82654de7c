# SPDX-License-Identifier: GPL-2.0-or-later
"""When the helper is asked, and for what."""

from kdumphpd.listener.schedule import Schedule
from kdumphpd.protocol import PATIENCE, Outcome, Request, Result, Settings
from tests.unit.listener.schedules import CURRENT, due, online


def test_a_burst_is_one_request_when_it_has_settled(schedule: Schedule) -> None:
    for n in range(16):
        schedule.uevent(online(n), 10 + n / 100)
    ask = due(schedule, 11.15)
    assert ask.request is Request.UPDATE
    assert ask.burst is not None
    assert ask.burst.events == 16


def test_a_burst_without_end_is_handled_without_reading_crash_hotplug_and_again_when_it_settles(
    schedule: Schedule,
) -> None:
    for n in range(100):
        schedule.uevent(online(n), 10 + n / 10)
    ask = due(schedule, 20)
    assert ask.request is Request.UPDATE_UNSETTLED
    schedule.answered(CURRENT, 20)
    assert due(schedule, 20.9).request is Request.UPDATE


def test_only_one_request_is_under_way(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    assert schedule.due(11)
    schedule.uevent(online(2), 11.5)
    assert schedule.due(13) is None
    schedule.answered(CURRENT, 13)
    assert schedule.due(13)


def test_lost_events_are_a_burst_of_their_own(schedule: Schedule) -> None:
    schedule.lost("more arrived at once", 10)
    assert due(schedule, 11).request is Request.UPDATE


def test_an_image_that_somebody_replaced_is_checked_a_little_later(schedule: Schedule) -> None:
    schedule.replaced("kdump.service was started", 10)
    ask = due(schedule, 12)
    assert (ask.request, ask.why) == (Request.CHECK, "kdump.service was started")


def test_without_any_event_the_image_is_checked_every_interval(schedule: Schedule) -> None:
    ask = due(schedule, 3600)
    assert ask.routine
    schedule.answered(CURRENT, 3600)
    assert due(schedule, 7200).routine


def test_the_answer_brings_the_configuration(schedule: Schedule) -> None:
    schedule.configured(Settings(settle_time=5, max_delay=50, interval=60), 0)
    schedule.uevent(online(1), 10)
    assert due(schedule, 15).request is Request.UPDATE
    schedule.answered(CURRENT, 15)
    assert due(schedule, 60).routine  # and not an hour after the start


def test_a_failure_is_tried_again_with_growing_pauses(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    at = 11.0
    for pause in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
        ask = due(schedule, at)
        assert ask.burst is not None
        schedule.answered(Result(Outcome.FAILED, detail="no", armed=True), at)
        assert schedule.failure == "no"
        at += pause


def test_what_asking_again_cannot_change_is_not_tried_again(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(Result(Outcome.FAILED, detail="no", armed=True, retry=False), 11)
    assert schedule.failure
    assert due(schedule, 3600).routine


def test_a_helper_that_is_busy_is_asked_again_soon_and_nothing_is_wrong(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(Result(Outcome.BUSY, armed=True, wait=2), 11)
    assert not schedule.failure
    assert due(schedule, 13).request is Request.UPDATE


def test_a_helper_that_does_not_answer_is_given_up_after_its_patience(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    end = 11 + PATIENCE
    assert schedule.deadline() == end
    schedule.unanswered("no result", end)
    assert schedule.failure == "no result"
    assert schedule.next_try == end + 1


# --- a reload that is pending ---------------------------------------------------------------------------


def test_a_pending_reload_waits_for_no_burst_and_no_older_backoff(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    for n in range(8):
        schedule.answered(Result(Outcome.FAILED, detail="no", armed=True), 11 + 600 * n)
        assert schedule.due(11 + 600 * (n + 1))
    schedule.answered(Result(Outcome.FAILED, detail="no", pending=True), 5000)
    schedule.uevent(online(2), 5000)
    schedule.set_pending(True, 5000)
    assert schedule.deadline() is not None
    assert schedule.due(5001)


def test_it_is_tried_again_every_ten_seconds_at_the_longest(schedule: Schedule) -> None:
    schedule.set_pending(True, 100)
    at = 100.0
    for pause in (1, 2, 4, 8, 10, 10, 10):
        ask = schedule.due(at)
        assert ask is not None
        schedule.answered(Result(Outcome.FAILED, detail="no", pending=True), at)
        at += pause
        assert schedule.due(at - 0.01) is None
    assert schedule.pending


def test_what_is_wrong_is_right_again_after_a_check(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.answered(Result(Outcome.STALE, detail="2 GiB missing", armed=True), 11)
    assert schedule.wrong
    schedule.replaced("/var/log/kdump.log was written", 20)
    due(schedule, 22)
    schedule.answered(CURRENT, 22)
    assert not (schedule.wrong or schedule.failure)


def test_an_operators_unload_ends_what_was_open(schedule: Schedule) -> None:
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    schedule.skip(11)
    assert not (schedule.failure or schedule.wrong or schedule.open_burst)
    assert due(schedule, 3600).routine


def test_a_change_whose_update_has_failed_is_not_settled_by_a_check(schedule: Schedule) -> None:
    """Where the image can't be read, a check takes the machine as it is for what the image was loaded for."""
    schedule.uevent(online(1), 10)
    due(schedule, 11)
    failed = Result(Outcome.FAILED, detail="the initrd is being written", armed=True)
    schedule.answered(failed, 11)
    schedule.replaced("/run/lock/kdump was written", 11.5, routine=True)
    assert schedule.due(12) is not None
    schedule.answered(failed, 12)
    ask = schedule.due(13.5)
    assert ask is not None
    assert (ask.why, ask.request) == ("/run/lock/kdump was written", Request.UPDATE)


def test_an_unsafe_image_is_tried_again_where_that_can_bring_more(schedule: Schedule) -> None:
    schedule.replaced("an image was loaded by somebody else", 8)
    due(schedule, 10)
    schedule.answered(Result(Outcome.UNSAFE, detail="the initrd is being written", armed=True, wait=1), 10)
    assert due(schedule, 11).why == "an image was loaded by somebody else"
    schedule.answered(Result(Outcome.UNSAFE, detail="no load method is left to try", armed=True), 11)
    assert schedule.next_try is None
