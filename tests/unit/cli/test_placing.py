# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture is right whatever the clock was set to, and whatever ended the listener."""

from dataclasses import replace
from pathlib import Path

from kdumphpd.cli.entries import Entry
from kdumphpd.cli.plot import _runs
from kdumphpd.cli.summary import notable
from kdumphpd.cli.svg import draw
from kdumphpd.cli.timeline import build
from tests.unit.cli.test_timeline import CHECKED, FAILED, RELOADED, STARTED, UNLOADED, T, built, phases
from tests.unit.trees import put

YEAR = 365 * 86400.0
NO_ANSWER = Entry(T + 450, "a", "no answer", 3, "the helper gave no result")
DEAF = Entry(T + 450, "a", "lost", 3, "the uevent socket failed")
HEARS = Entry(T + 460, "a", "lost", 4, "uevents were lost: the socket had to be opened again")


def test_no_answer_says_nothing_about_an_image_that_is_not_there() -> None:
    assert phases(built(CHECKED, FAILED, NO_ANSWER, now=T + 500))[-1] == ("unprotected", 201.0)
    assert phases(built(CHECKED, UNLOADED, NO_ANSWER, now=T + 500))[-1] == ("stopped", 100.0)
    assert phases(built(CHECKED, NO_ANSWER, now=T + 500))[-1] == ("stale", 50.0)


def test_what_is_not_there_was_not_stale_before() -> None:
    assert "stale" not in dict(phases(built(CHECKED, UNLOADED, replace(FAILED, when=T + 420, unprotected=0.0))))


def test_without_uevents_a_right_image_is_stale_until_the_next_answer_after_them() -> None:
    again = replace(CHECKED, when=T + 455)
    right = replace(CHECKED, when=T + 470)
    timeline = built(CHECKED, DEAF, again, HEARS, right, now=T + 480)
    assert phases(timeline) == [("protected", 449.0), ("stale", 20.0), ("protected", 10.0)]
    assert phases(built(CHECKED, UNLOADED, DEAF, now=T + 500))[-1][0] == "stopped"
    assert phases(built(CHECKED, HEARS, now=T + 500)) == [("protected", 499.0)]


def test_nobody_watches_after_a_listener_that_was_killed() -> None:
    died = Entry(T + 40, "a", "died", 4, "kdumphpd.service: Main process exited, code=killed, status=9/KILL")
    assert phases(built(STARTED, CHECKED, died, now=T + 100)) == [
        ("not watched", 1.0),
        ("protected", 39.0),
        ("not watched", 60.0),
    ]
    again = [replace(STARTED, when=T + 1000), replace(CHECKED, when=T + 1001)]
    assert phases(built(STARTED, CHECKED, RELOADED, replace(died, when=T + 995), *again))[-2:] == [
        ("protected", 895.0),
        ("not watched", 6.0),
    ]


def test_where_systemds_word_is_missing_nobody_vouches_for_what_came_after_the_last_entry() -> None:
    again = [replace(STARTED, when=T + 1000), replace(CHECKED, when=T + 1001)]
    assert phases(built(STARTED, CHECKED, RELOADED, *again))[-1] == ("not watched", 901.0)
    timeline = build([STARTED, CHECKED], T + 100, runs=False)
    assert timeline is not None
    assert phases(timeline) == [("not watched", 1.0), ("not watched", 99.0)]


def test_a_listener_runs_while_systemd_has_a_link_for_it(tmp_path: Path) -> None:
    put(tmp_path, {"run/systemd/units/x": ""})
    assert not _runs(tmp_path)
    (tmp_path / "run/systemd/units/invocation:kdumphpd.service").symlink_to("0")
    assert _runs(tmp_path)


def at(monotonic: float, entry: Entry, off: float = 0.0, boot: str = "a") -> Entry:
    """`entry` at that time of its boot, by a clock that is `off` seconds wrong."""
    return replace(entry, when=T + monotonic + off, monotonic=monotonic, boot=boot)


def test_a_clock_that_is_set_moves_nothing() -> None:
    right = phases(built(at(10, STARTED), at(11, CHECKED), at(100, RELOADED)))
    for off in (4 * YEAR, 3600.0, -3600.0, -6 * YEAR, 10 - T):
        timeline = built(at(10, STARTED, off), at(11, CHECKED, off), at(100, RELOADED))
        assert phases(timeline) == right
        assert (timeline.begin, timeline.end) == (T + 10, T + 100)
        now = build([at(10, STARTED, off), at(11, CHECKED, off)], T + 50, monotonic=50.0)
        assert now is not None
        assert (now.begin, now.end) == (T + 10, T + 50)


def test_a_clock_that_was_set_back_loses_nothing_without_the_monotonic_clock() -> None:
    timeline = built(replace(STARTED, when=T + 9e7), replace(CHECKED, when=T + 9e7 + 1), RELOADED, now=T + 200)
    assert (timeline.begin, timeline.end) == (T + 100, T + 200)


def test_boots_are_in_order_and_none_begins_before_the_last_has_ended() -> None:
    for wrong in (-T, 20 * YEAR, 5000.0):
        boots = [
            [at(10 + 1000 * n, STARTED, boot=boot), at(20 + 1000 * n, CHECKED, boot=boot)]
            for n, boot in enumerate("abc")
        ]
        boots[1] = [replace(entry, when=entry.when + wrong) for entry in boots[1]]
        timeline = built(*(entry for boot in boots for entry in boot), now=T + 2100)
        assert (timeline.begin, timeline.end) == (T + 10, T + 2100)
        starts = [entry.when for entry in timeline.turns]
        assert starts == sorted(starts)
        assert T + 20 <= starts[1] < T + 2010


def test_the_last_boot_is_believed_where_two_clocks_differ() -> None:
    timeline = built(at(5, CHECKED, 4 * YEAR), at(500, CHECKED, boot="b"), now=T + 600)
    assert (timeline.begin, timeline.end) == (T + 500, T + 600)
    timeline = built(at(5, CHECKED), at(500, CHECKED, -T, boot="b"), now=600)
    assert (timeline.begin, timeline.end) == (T + 5, T + 105)


def test_what_stands_out_fits_in_its_column() -> None:
    many = [
        replace(RELOADED, when=T + 5000 * n, sentence="the same", elapsed=4321.0, unprotected=83.25, outcome="stale")
        for n in range(1, 9)
    ]
    listed = notable(built(CHECKED, *many, now=T + 9e8))
    assert listed
    assert all(len(what) <= 46 and what.count(" for ") <= 2 for _, what, _ in listed)
    assert draw(built(CHECKED, *many), "x")
