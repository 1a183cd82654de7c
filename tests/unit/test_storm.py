# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from kdumphpd.storm import Coalescer, Storm, Subsystem, Uevent

QUIET, MAX_DELAY = 1.0, 10.0


def cpu(action: str, number: int | None = 1, *, synthetic: bool = False) -> Uevent:
    return Uevent(Subsystem.CPU, action, number, synthetic)


def memory(action: str, number: int | None = 40, *, synthetic: bool = False) -> Uevent:
    return Uevent(Subsystem.MEMORY, action, number, synthetic)


def storm_of(*events: Uevent) -> Storm:
    """All in one storm, a tenth of a second apart."""
    coalescer = Coalescer(QUIET, MAX_DELAY)
    for index, event in enumerate(events):
        coalescer.feed(event, index / 10)
    storm = coalescer.close(1000.0)
    assert storm is not None
    return storm


def test_memory_counts_when_it_comes_online_not_when_it_is_added() -> None:
    added = storm_of(memory("add", 40), memory("add", 41))
    assert str(added.blocks_added) == "40-41"
    assert not added.blocks_came

    online = storm_of(memory("add", 40), memory("online", 40))
    assert str(online.blocks_came) == "40"
    assert not online.blocks_added


def test_memory_went_when_it_is_offline_and_removing_it_says_no_more() -> None:
    storm = storm_of(memory("offline"), memory("remove"))
    assert str(storm.blocks_went) == "40"
    assert storm.events == 2


def test_a_block_that_was_added_and_removed_again_left_nothing() -> None:
    storm = storm_of(memory("add"), memory("remove"))
    assert not (storm.blocks_added or storm.blocks_came or storm.blocks_went)
    assert storm.events == 2


def test_a_cpu_that_sends_add_alone_came() -> None:
    assert str(storm_of(cpu("add", 3)).cpus_came) == "3"


def test_a_cpu_that_goes_offline_went() -> None:
    assert str(storm_of(cpu("offline", 3)).cpus_went) == "3"


def test_what_went_and_came_back_came() -> None:
    storm = storm_of(cpu("offline"), cpu("online"))
    assert str(storm.cpus_came) == "1"
    assert not storm.cpus_went


def test_what_came_and_went_again_went() -> None:
    storm = storm_of(memory("online"), memory("offline"))
    assert str(storm.blocks_went) == "40"
    assert not storm.blocks_came


@pytest.mark.parametrize("action", ["bind", "unbind", "change", "move", "", "ONLINE"])
def test_an_action_that_changes_no_hardware_opens_no_storm(action: str) -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    assert not coalescer.feed(cpu(action), 0.0)
    assert coalescer.deadline() is None


@pytest.mark.parametrize("event", [cpu("add", synthetic=True), memory("online", synthetic=True)])
def test_coldplug_and_udevadm_trigger_open_no_storm(event: Uevent) -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    assert not coalescer.feed(event, 0.0)
    assert coalescer.close(100.0) is None


def test_a_device_that_is_neither_cpu_nor_block_opens_no_storm() -> None:
    assert not Coalescer(QUIET, MAX_DELAY).feed(memory("add", None), 0.0)


def test_an_irrelevant_event_does_not_make_a_storm_longer() -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    coalescer.feed(cpu("online"), 0.0)
    coalescer.feed(cpu("bind"), 0.9)
    assert coalescer.deadline() == QUIET


def test_a_storm_is_over_after_the_quiet_time_and_not_before() -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    coalescer.feed(cpu("online"), 5.0)
    coalescer.feed(cpu("online", 2), 5.5)
    assert coalescer.deadline() == 6.5
    assert coalescer.close(6.49) is None
    storm = coalescer.close(6.5)
    assert storm is not None
    assert str(storm.cpus_came) == "1-2"
    assert storm.duration == 0.5


def test_a_storm_is_given_out_once() -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    coalescer.feed(cpu("online"), 0.0)
    assert coalescer.close(1.0) is not None
    assert coalescer.close(1.0) is None
    assert coalescer.deadline() is None


def test_an_endless_storm_is_answered_after_the_maximum_delay() -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    closed = []
    for tick in range(200):  # an event every half second, for ever
        now = tick / 2
        coalescer.feed(memory("online", tick), now)
        if (storm := coalescer.close(now)) is not None:
            closed.append(storm)
            assert now - storm.opened == MAX_DELAY
    assert len(closed) == 9


def test_what_comes_after_the_close_opens_the_next_storm() -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    coalescer.feed(cpu("online", 1), 0.0)
    coalescer.close(1.0)
    coalescer.feed(cpu("online", 2), 1.0)
    storm = coalescer.close(2.0)
    assert storm is not None
    assert str(storm.cpus_came) == "2"


def test_counts_and_ends_of_a_storm_are_kept() -> None:
    storm = storm_of(memory("add", 40), memory("online", 40), cpu("online", 2))
    assert storm.counts == {
        (Subsystem.MEMORY, "add"): 1,
        (Subsystem.MEMORY, "online"): 1,
        (Subsystem.CPU, "online"): 1,
    }
    assert (storm.first_event, storm.last_event) == ("add@memory40", "online@cpu2")


def test_only_the_subsystems_that_sent_events_are_touched() -> None:
    assert storm_of(cpu("online")).touched == {Subsystem.CPU}
    assert storm_of(memory("add")).touched == {Subsystem.MEMORY}
    assert storm_of(cpu("online"), memory("add")).touched == set(Subsystem)


def test_an_assumption_opens_a_storm_that_touches_everything() -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    coalescer.assume("messages were lost", 3.0)
    storm = coalescer.close(4.0)
    assert storm is not None
    assert storm.events == 0
    assert storm.touched == set(Subsystem)
    assert storm.assumed == "messages were lost"


def test_an_assumption_joins_the_storm_that_blows_and_the_first_reason_stays() -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    coalescer.feed(cpu("online"), 0.0)
    coalescer.assume("first", 0.5)
    coalescer.assume("second", 0.6)
    storm = coalescer.close(1.6)
    assert storm is not None
    assert storm.assumed == "first"
    assert storm.events == 1


def test_a_shorter_quiet_time_holds_for_the_storm_that_blows() -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    coalescer.feed(cpu("online"), 0.0)
    coalescer.quiet = 0.2
    assert coalescer.deadline() == 0.2


def test_no_storm_closes_before_it_may_and_what_comes_until_then_is_part_of_it() -> None:
    coalescer = Coalescer(QUIET, MAX_DELAY)
    coalescer.not_before = 100.0
    coalescer.feed(memory("online", 40), 0.0)
    assert coalescer.deadline() == 100.0
    assert coalescer.close(99.9) is None
    coalescer.feed(memory("online", 41), 99.9)
    storm = coalescer.close(100.0)
    assert storm is not None
    assert str(storm.blocks_came) == "40-41"
    coalescer.feed(memory("online", 42), 200.0)
    assert coalescer.deadline() == 200.0 + QUIET
