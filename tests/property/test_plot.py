# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the journal holds, kdumphpctl plot draws it."""

from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from kdumphpd.cli.entries import KINDS, Entry
from kdumphpd.cli.svg import draw
from kdumphpd.cli.timeline import build
from kdumphpd.protocol import Outcome, Reason

T = 1_764_000_000.0  # seconds since the epoch

MOMENTS = st.floats(0, 1e6).map(lambda seconds: T + seconds)
SECONDS = st.floats(0, 1e5)
ENTRIES = st.builds(
    Entry,
    when=MOMENTS,
    boot=st.sampled_from("ab"),
    kind=st.sampled_from(sorted(set(KINDS.values()))),
    priority=st.integers(0, 7),
    sentence=st.text(),
    outcome=st.sampled_from(["", *Outcome, "of another version"]),
    reason=st.sampled_from(["", *Reason]),
    armed=st.sampled_from([True, False, None]),
    method=st.text(max_size=5),
    seconds=SECONDS,
    unprotected=SECONDS,
    events=st.integers(0, 10**9),
    duration=SECONDS,
    elapsed=SECONDS,
)


@given(st.lists(ENTRIES, min_size=1, max_size=30), st.booleans(), st.none() | MOMENTS)
def test_whatever_the_journal_holds_there_is_a_picture_of_it(
    entries: list[Entry], in_order: bool, now: float | None
) -> None:
    timeline = build(sorted(entries, key=lambda entry: entry.when) if in_order else entries, now)
    assert timeline is not None
    for before, after in pairwise(timeline.spans):
        assert before.end == after.begin
    assert all(span.seconds > 0 for span in timeline.spans)
    picture = draw(timeline, "host & <co>")
    assert picture.isascii()
    ElementTree.fromstring(picture)  # noqa: S314 - our own
