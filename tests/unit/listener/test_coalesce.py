# SPDX-License-Identifier: GPL-2.0-or-later
"""Bursts, and the sentences about them."""

import pytest

from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener.coalesce import Burst, Coalescer, Uevent
from kdumphpd.listener.report import what_changed

MIB = 1 << 20


def burst(*events: tuple[Subsystem, str, int]) -> Burst:
    coalescer = Coalescer(1, 10)
    for at, (subsystem, action, number) in enumerate(events):
        assert coalescer.feed(Uevent(subsystem, action, number), at / 100)
    closed = coalescer.close(100)
    assert closed is not None
    return closed[0]


@pytest.mark.parametrize(
    "event",
    [
        Uevent(Subsystem.CPU, "change", 1),
        Uevent(Subsystem.CPU, "bind", 1),
        Uevent(Subsystem.CPU, "online", None),
        Uevent(Subsystem.MEMORY, "online", 1, synthetic=True),
    ],
)
def test_what_changes_nothing_opens_no_burst(event: Uevent) -> None:
    coalescer = Coalescer(1, 10)
    assert not coalescer.feed(event, 0)
    assert coalescer.deadline() is None


def test_a_burst_closes_when_it_has_settled() -> None:
    coalescer = Coalescer(1, 10)
    coalescer.feed(Uevent(Subsystem.CPU, "add", 1), 5)
    coalescer.feed(Uevent(Subsystem.CPU, "online", 1), 5.5)
    assert coalescer.close(6.4) is None
    closed = coalescer.close(6.5)
    assert closed is not None
    assert closed[1]
    assert coalescer.close(100) is None


def test_one_that_goes_on_is_handled_at_the_maximum_delay_and_once_more_when_it_settles() -> None:
    coalescer = Coalescer(1, 3)
    for tenth in range(40):
        coalescer.feed(Uevent(Subsystem.MEMORY, "online", tenth), tenth / 10)
    closed = coalescer.close(3.9)
    assert closed is not None
    assert not closed[1]
    rest = coalescer.close(4.9)
    assert rest is not None
    assert rest[1]


MEMORY, CPU = Subsystem.MEMORY, Subsystem.CPU


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        (
            [(MEMORY, action, n) for n in range(16) for action in ("add", "online")],
            "2 GiB of memory onlined (16 blocks, 32 events in 0.3 s)",
        ),
        ([(MEMORY, "offline", n) for n in (3, 4)], "256 MiB of memory offlined (2 blocks, 2 events in 0.0 s)"),
        ([(MEMORY, "add", n) for n in range(3)], "memory blocks 0-2 added, not online yet (3 events in 0.0 s)"),
        ([(CPU, "add", 1), (CPU, "online", 1)], "CPU 1 added (2 events in 0.0 s)"),
        ([(CPU, "online", 1)], "CPU 1 onlined"),
        ([(CPU, "offline", 1), (CPU, "remove", 1)], "CPU 1 removed (2 events in 0.0 s)"),
        ([(CPU, "offline", 1)], "CPU 1 offlined"),
        ([(CPU, "add", 1), (CPU, "remove", 1)], "CPU 1 removed (2 events in 0.0 s)"),
        (
            [(MEMORY, "online", 8), (CPU, "add", 1), (CPU, "add", 2)],
            "128 MiB of memory onlined, CPUs 1-2 added (1 block, 3 events in 0.0 s)",
        ),
    ],
)
def test_a_burst_in_words(events: list[tuple[Subsystem, str, int]], sentence: str) -> None:
    assert what_changed(burst(*events), 128 * MIB) == sentence


def test_without_a_block_size_blocks_are_counted() -> None:
    assert what_changed(burst((MEMORY, "online", 8)), None) == "1 memory block onlined"


def test_lost_events_are_named() -> None:
    coalescer = Coalescer(1, 10)
    coalescer.mark_lost("more arrived at once than the socket could hold", 0)
    closed = coalescer.close(1)
    assert closed is not None
    assert what_changed(closed[0], None) == "uevents were lost (more arrived at once than the socket could hold)"


def test_the_largest_machine_is_a_handful_of_ranges() -> None:
    coalescer = Coalescer(1, 10)
    for number in range(262_144):
        coalescer.feed(Uevent(MEMORY, "online", number), 0)
    closed = coalescer.close(1)
    assert closed is not None
    assert str(closed[0].blocks["online"]) == "0-262143"
