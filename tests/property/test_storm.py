# SPDX-License-Identifier: GPL-2.0-or-later
from hypothesis import example, given
from hypothesis import strategies as st

from kdumphpd.storm import CAME, WENT, Coalescer, Storm, Subsystem, Uevent

QUIET, MAX_DELAY = 1.0, 5.0

History = list[tuple[float, Uevent | str]]

ACTIONS = ["add", "remove", "online", "offline", "change", "bind", "unbind", "move", ""]

EVENTS = st.builds(
    Uevent,
    subsystem=st.sampled_from(Subsystem),
    action=st.sampled_from(ACTIONS),
    number=st.none() | st.integers(min_value=0, max_value=20),
    synthetic=st.booleans(),
)
# Seconds until the next event: mostly fewer than the quiet time, so that storms go on and on.
PAUSES = st.sampled_from([0.0, 0.3, 0.7, 0.9]) | st.floats(min_value=0, max_value=3)
HISTORY = st.lists(st.tuples(PAUSES, EVENTS | st.just("lost")), max_size=60)
ENDLESS: History = [(0.9, Uevent(Subsystem.MEMORY, "online", number)) for number in range(30)]


def replay(history: History) -> tuple[list[Storm], list[float], int]:
    """All storms, when each was closed by a caller that comes back at every deadline, and the losses assumed."""
    coalescer = Coalescer(QUIET, MAX_DELAY)
    storms, closings, now, lost = [], [], 0.0, 0

    def close_until(end: float) -> None:
        while (deadline := coalescer.deadline()) is not None and deadline <= end:
            storm = coalescer.close(deadline)
            assert storm is not None, "a deadline that has come gives a storm"
            storms.append(storm)
            closings.append(deadline)

    for pause, event in history:
        now += pause
        close_until(now)
        if isinstance(event, str):
            coalescer.assume(event, now)
            lost += 1
        else:
            assert coalescer.feed(event, now) == event.relevant
    close_until(now + MAX_DELAY)
    assert coalescer.storm is None
    return storms, closings, lost


@given(HISTORY)
def test_every_relevant_event_is_in_exactly_one_storm_and_no_other_is(history: History) -> None:
    storms, _, _ = replay(history)
    relevant = [event for _, event in history if isinstance(event, Uevent) and event.relevant]
    assert sum(storm.events for storm in storms) == len(relevant)
    told = [text for storm in storms if storm.events for text in (storm.first_event, storm.last_event)]
    if relevant:
        first, last = relevant[0], relevant[-1]
        assert told[0] == f"{first.action}@{first.subsystem}{first.number}"
        assert told[-1] == f"{last.action}@{last.subsystem}{last.number}"


@given(HISTORY)
def test_counts_add_up_by_subsystem_and_action(history: History) -> None:
    storms, _, _ = replay(history)
    for subsystem in Subsystem:
        for action in CAME | WENT:
            sent = [e for _, e in history if isinstance(e, Uevent) and e.relevant]
            wanted = sum(e.subsystem is subsystem and e.action == action for e in sent)
            assert sum(storm.counts[subsystem, action] for storm in storms) == wanted


@given(HISTORY)
@example(ENDLESS)
def test_no_storm_outlasts_the_maximum_delay_and_none_ends_before_it_is_quiet(history: History) -> None:
    storms, closings, _ = replay(history)
    for storm, closed in zip(storms, closings, strict=True):
        assert storm.opened <= storm.last <= closed
        assert closed <= storm.opened + MAX_DELAY
        assert closed == min(storm.last + QUIET, storm.opened + MAX_DELAY)


@given(HISTORY)
def test_storms_follow_each_other_and_never_overlap(history: History) -> None:
    storms, closings, _ = replay(history)
    for closed, following in zip(closings, storms[1:], strict=False):
        assert closed <= following.opened


@given(HISTORY)
def test_nothing_has_come_and_gone_at_once(history: History) -> None:
    storms, _, _ = replay(history)
    for storm in storms:
        assert not set(storm.cpus_came) & set(storm.cpus_went)
        assert not set(storm.blocks_came) & set(storm.blocks_went)


@given(HISTORY)
def test_what_the_last_event_of_a_cpu_says_is_what_the_storm_says(history: History) -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    last: dict[int, str] = {}
    for _, event in history:
        if isinstance(event, Uevent) and coalescer.feed(event, 0.0) and event.subsystem is Subsystem.CPU:
            assert event.number is not None
            last[event.number] = event.action
    storm = coalescer.storm
    if storm is None:
        assert not last
        return
    assert set(storm.cpus_came) == {number for number, action in last.items() if action in CAME}
    assert set(storm.cpus_went) == {number for number, action in last.items() if action in WENT}


@given(HISTORY)
def test_a_loss_makes_its_storm_touch_everything(history: History) -> None:
    storms, _, lost = replay(history)
    assert any(storm.assumed for storm in storms) == bool(lost)
    assert all(storm.touched == frozenset(Subsystem) for storm in storms if storm.assumed)
    assert all(storm.touched for storm in storms)
