# SPDX-License-Identifier: GPL-2.0-or-later
"""From journal entries to spans of time, and to a picture of them."""

import time
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from kdumphpd.cli.axis import MOST, ticks
from kdumphpd.cli.entries import Entry
from kdumphpd.cli.summary import describe, duration, notable, summary
from kdumphpd.cli.svg import draw
from kdumphpd.cli.timeline import Phase, Timeline, build
from kdumphpd.protocol import Reason

T = 1_764_000_000.0

STARTED = Entry(T, "a", "started", 6, "kdumphpd receives CPU and memory uevents")
CHECKED = Entry(T + 1, "a", "current", 6, "kdumphpd started: up to date", "current", "current", armed=True)
UPDATED = Entry(T + 50, "a", "updated", 6, "the kernel updated the kdump image", "current", armed=True, events=32)
RELOADED = Entry(
    *(T + 100, "a", "reloaded", 6, "2 GiB of memory onlined: reloaded", "reloaded", "stale", True, "kexec"),
    *(1.2, 0.2, 64, 0.4, 5.0),
)
DEFERRED = Entry(T + 200, "a", "deferred", 4, "reload deferred", "deferred", "stale", True, events=8, elapsed=4.0)
FAILED = Entry(T + 300, "a", "failed", 3, "UNPROTECTED", "failed", "stale", False, "", 3.0, 1.0, 8, 0.1, 6.0)
PENDING = Entry(T + 310, "a", "reloaded", 6, "reloaded", "reloaded", "pending", True, "kexec", seconds=0.5)
UNLOADED = Entry(T + 400, "a", "not loaded", 7, "no kdump image is loaded", "not-loaded", armed=False)
STOPPED = Entry(T + 500, "a", "stopped", 6, "stopping")


def built(*entries: Entry, now: float | None = None) -> Timeline:
    timeline = build(entries, now)
    assert timeline is not None
    return timeline


def phases(timeline: Timeline) -> list[tuple[str, float]]:
    return [(span.phase, round(span.seconds, 3)) for span in timeline.spans]


def test_nothing_is_no_timeline() -> None:
    assert build([], T) is None


def test_a_reload_was_stale_since_the_first_event_and_unprotected_for_a_moment() -> None:
    assert phases(built(STARTED, CHECKED, RELOADED, now=T + 110)) == [
        ("not watched", 1.0),
        ("protected", 94.0),
        ("stale", 4.8),
        ("unprotected", 0.2),
        ("protected", 10.0),
    ]


def test_a_reload_that_makes_an_image_updatable_was_of_one_that_was_right() -> None:
    timeline = built(STARTED, CHECKED, replace(RELOADED, reason=Reason.NOT_UPDATABLE))
    assert phases(timeline) == [("not watched", 1.0), ("protected", 98.8), ("unprotected", 0.2)]


def test_the_kernels_updates_interrupt_nothing() -> None:
    assert phases(built(CHECKED, UPDATED, now=T + 100)) == [("protected", 99.0)]


def test_a_deferred_reload_is_stale_until_it_is_made() -> None:
    later = replace(RELOADED, when=T + 230, elapsed=34.0)
    timeline = built(CHECKED, DEFERRED, later)
    assert phases(timeline) == [("protected", 195.0), ("stale", 33.8), ("unprotected", 0.2)]


def test_a_reload_that_fails_is_unprotected_until_an_image_is_loaded() -> None:
    timeline = built(CHECKED, FAILED, PENDING, now=T + 320)
    assert phases(timeline) == [("protected", 293.0), ("stale", 5.0), ("unprotected", 11.0), ("protected", 10.0)]


def test_what_the_operator_stops_is_a_phase_of_its_own() -> None:
    timeline = built(CHECKED, UNLOADED, STOPPED, now=T + 600)
    assert phases(timeline) == [("protected", 399.0), ("stopped", 100.0), ("not watched", 100.0)]


def test_nothing_is_known_of_the_time_between_two_boots() -> None:
    again = replace(CHECKED, when=T + 1000, boot="b")
    assert phases(built(CHECKED, UPDATED, again, now=T + 1010)) == [
        ("protected", 49.0),
        ("not watched", 950.0),
        ("protected", 10.0),
    ]


def test_without_now_it_ends_with_the_last_entry() -> None:
    assert built(CHECKED, UPDATED).end == UPDATED.when


def test_the_picture_says_in_words_what_it_shows() -> None:
    timeline = built(STARTED, CHECKED, UPDATED, RELOADED, FAILED, PENDING, now=T + 400)
    text = describe(timeline)
    assert "2 spans" in text
    assert "unprotected for 11 s in 2 spans, 11 s the longest" in text
    assert (
        "3 bursts of 104 uevents: 1 updated by the kernel, 1 reloaded, 1 otherwise; 2 reloads in all, 1 failed"
        in text
    )
    root = ElementTree.fromstring(draw(timeline, "db17"))  # noqa: S314 - our own
    space = {"s": "http://www.w3.org/2000/svg"}
    title, desc = root.find("s:title", space), root.find("s:desc", space)
    assert title is not None
    assert desc is not None
    assert "kdump on db17" in (title.text or "")
    assert desc.text == text
    assert root.get("aria-labelledby") == "title desc"


def test_what_stands_out_is_the_worst_in_the_order_of_time() -> None:
    reloads = [replace(RELOADED, when=T + 100 * n) for n in range(1, 30)]
    listed = notable(built(CHECKED, *reloads, replace(FAILED, when=T + 3000), now=T + 4000))
    assert len(listed) == 10
    assert [when for when, _, _ in listed] == sorted(when for when, _, _ in listed)
    assert listed[-1][1] == "stale for 5.00 s, unprotected for 16.7 min"


def test_a_share_is_100_percent_only_where_it_is() -> None:
    long = replace(UPDATED, when=T + 1e7)
    assert summary(built(CHECKED, long))[0].startswith("100 % protected of 116 d")
    assert summary(built(CHECKED, RELOADED, long))[0].startswith("99.99994 % protected of 116 d")
    assert summary(built(STARTED))[0] == "nothing is known"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0.20 s"), (12, "12 s"), (240, "4 min"), (5400, "1.5 h"), (2e5, "2.31 d")]
)
def test_a_duration_is_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()


@pytest.fixture(autouse=True)
def zone_is_put_back() -> None:
    time.tzset()


@pytest.mark.parametrize("length", [10.0**n * factor for n in range(-1, 10) for factor in (1, 2, 5)])
def test_an_axis_of_any_length_has_a_few_labels_that_differ(length: float) -> None:
    found = ticks(T, T + length)
    assert len(found) <= MOST + 2
    assert len(found) >= (2 if length >= 5 else 0)
    assert all(T <= tick.at <= T + length for tick in found)
    assert len({(tick.label, tick.over) for tick in found}) > len(found) / 3


def test_an_hour_has_minutes_and_a_year_has_months() -> None:
    assert all(":" in tick.label for tick in ticks(T, T + 3600))
    assert [tick.label for tick in ticks(T, T + 365 * 86400)] == ["Jan", "Mar", "May", "Jul", "Sep", "Nov"]
    assert [tick.label for tick in ticks(T, T + 9 * 365 * 86400)][:2] == ["2026", "2027"]


def test_days_begin_at_midnight_through_a_change_of_the_clocks(in_berlin: None) -> None:
    before = time.mktime((2026, 3, 27, 12, 0, 0, 0, 0, -1))
    found = ticks(before, before + 6 * 86400)
    assert [time.strftime("%H:%M", time.localtime(tick.at)) for tick in found] == ["00:00"] * len(found)
    assert [tick.label for tick in found] == ["28 Mar", "29 Mar", "30 Mar", "31 Mar", "1 Apr", "2 Apr"]


def test_every_phase_has_its_place_in_the_picture() -> None:
    timeline = built(STARTED, CHECKED, RELOADED, DEFERRED, UNLOADED, now=T + 450)
    picture = draw(timeline, "x")
    for phase in Phase:
        assert f'class="{phase.replace(" ", "-")}"' in picture
