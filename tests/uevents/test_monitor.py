# SPDX-License-Identifier: GPL-2.0-or-later
"""The monitor on real netlink sockets, in a network namespace whose devices stand for CPUs and memory."""

import contextlib
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kdumphpd.listener.coalesce import Coalescer, Uevent
from kdumphpd.listener.receive import BATCH, DEVPATHS, Lost, Monitor
from tests.uevents.devices import NET, NET_PATH, drain, everything, is_readable, read_all, send, shrink
from tests.uevents.namespace import in_namespace

OVERFLOW = Lost("more arrived at once than the socket could hold")


@contextlib.contextmanager
def monitor(path: str = NET_PATH) -> Iterator[Monitor]:
    opened = Monitor({NET: path})
    try:
        yield opened
    finally:
        opened.close()


@contextlib.contextmanager
def device(name: str) -> Iterator[None]:
    """A real network device, plugged and unplugged: uevents that are not synthetic."""
    for kind in ("dummy", "bridge", "ifb", "veth"):
        if (
            subprocess.run(["ip", "link", "add", name, "type", kind], capture_output=True, check=False).returncode
            == 0
        ):
            break
    else:
        pytest.skip("this kernel makes no virtual network device")
    yield
    subprocess.run(["ip", "link", "delete", name], check=True)


@in_namespace
def test_irrelevant_uevents_never_wake_the_socket() -> None:
    with monitor("/devices/virtual/net/eth") as ours, everything() as plain:
        for _ in range(100):
            send("add")
        assert not is_readable(ours)
        assert len(drain(plain)) == 100, "the uevents were really sent"


@in_namespace
def test_the_paths_that_we_watch_on_a_machine_are_not_woken_by_other_devices() -> None:
    ours = Monitor()
    try:
        for action in ("add", "change", "remove"):
            send(action)
        assert not is_readable(ours)
    finally:
        ours.close()
    assert set(DEVPATHS.values()) == {"/devices/system/cpu/", "/devices/system/memory/"}


@in_namespace
def test_every_action_of_the_kernel_gets_through_the_filter() -> None:
    actions = ["add", "remove", "change", "move", "online", "offline", "bind", "unbind"]
    with monitor() as ours:
        for action in actions:
            send(action)
        assert read_all(ours) == [Uevent(NET, action, None, synthetic=True) for action in actions]


@in_namespace
def test_a_synthetic_uevent_is_told_apart_with_and_without_a_uuid_of_its_sender() -> None:
    with monitor() as ours:
        send("add")
        send("add fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed A=1")
        assert [event.synthetic for event in read_all(ours) if isinstance(event, Uevent)] == [True, True]


@in_namespace
def test_a_device_that_is_plugged_and_unplugged_is_received_with_its_number() -> None:
    with monitor() as ours:
        with device("net7"):
            received = read_all(ours)
        assert Uevent(NET, "add", 7, synthetic=False) in received
        assert Uevent(NET, "remove", 7, synthetic=False) in read_all(ours)


@in_namespace
def test_other_subsystems_below_the_same_path_are_passed_over() -> None:
    # A device's queues lie below it and send uevents too.
    with monitor() as ours, everything() as plain, device("net7"):
        received = read_all(ours)
        if not any(b"SUBSYSTEM=queues" in message for message in drain(plain)):
            pytest.skip("this kernel's virtual network devices have no queues")
        assert received
        assert all(isinstance(event, Uevent) and event.subsystem == NET for event in received)


@in_namespace
def test_a_burst_goes_from_the_socket_through_the_coalescer_event_by_event() -> None:
    coalescer = Coalescer(1.0, 10.0)
    with monitor() as ours:
        with device("net7"), device("net8"):
            pass
        for event in read_all(ours):
            assert isinstance(event, Uevent)
            coalescer.feed(event, 0.0)
    closed = coalescer.close(1.0)
    assert closed is not None
    burst, _ = closed
    assert (burst.counts[NET, "add"], burst.counts[NET, "remove"]) == (2, 2)
    assert (burst.first_event, burst.last_event) == ("add@net7", "remove@net7")


@in_namespace
def test_more_than_a_batch_is_read_in_several_and_nothing_is_lost() -> None:
    with monitor() as ours:
        for _ in range(BATCH + 10):
            send()
        first = ours.read()
        assert len(first) == BATCH
        assert is_readable(ours)
        assert len(read_all(ours)) == 10


@in_namespace
def test_reading_when_nothing_has_come_gives_nothing_and_does_not_wait() -> None:
    with monitor() as ours:
        assert ours.read() == []


@in_namespace
def test_an_overflow_is_one_loss_and_the_monitor_goes_on() -> None:
    with monitor() as ours:
        shrink(ours)
        for _ in range(1000):
            send()
        received = read_all(ours)
        assert received.count(OVERFLOW) == 1
        assert 0 < len(received) < 1000
        assert not is_readable(ours), "an error that stays on the socket would make the loop spin"

        send("online")
        assert read_all(ours) == [Uevent(NET, "online", None, synthetic=True)]


@in_namespace
def test_every_later_overflow_is_a_loss_of_its_own() -> None:
    with monitor() as ours:
        shrink(ours)
        for _ in range(3):
            for _ in range(200):
                send()
            assert read_all(ours).count(OVERFLOW) == 1


@in_namespace
def test_an_overflow_between_two_batches_is_received_too() -> None:
    with monitor() as ours:
        for _ in range(BATCH + 1):
            send()
        received = ours.read()
        shrink(ours)
        for _ in range(1000):
            send()
        received += read_all(ours)
        assert received.count(OVERFLOW) == 1
        assert not is_readable(ours)


@in_namespace
def test_the_filter_drops_before_the_buffer_so_irrelevant_uevents_cannot_overflow_it() -> None:
    with monitor("/devices/virtual/net/eth") as ours:
        shrink(ours)
        for _ in range(1000):
            send()
        assert not is_readable(ours)
        assert ours.read() == []


@in_namespace
def test_the_receive_buffer_is_as_large_as_permitted_and_said() -> None:
    with monitor() as ours:
        assert ours.receive_buffer > 0


@in_namespace
def test_a_device_whose_name_is_another_is_no_cpu_and_no_memory_block() -> None:
    with monitor() as ours, device("policy0"):
        assert all(event.number is None for event in read_all(ours) if isinstance(event, Uevent))


@in_namespace
def test_a_socket_that_was_passed_on_has_what_arrived_before() -> None:
    with everything() as waiting:
        send("online")
        ours = Monitor({NET: NET_PATH}, passed=waiting.fileno())
        try:
            assert read_all(ours) == [Uevent(NET, "online", None, synthetic=True)]
            send("offline")
            assert read_all(ours) == [Uevent(NET, "offline", None, synthetic=True)]
        finally:
            ours.close()


@in_namespace
def test_only_a_netlink_socket_is_taken_from_systemd() -> None:
    # The last of several: what an earlier listener has left there comes after the socket unit's.
    script = "from kdumphpd.listener.receive import passed_socket; print(passed_socket())"
    with everything() as netlink, socket.socket() as other:
        cases = {(): "None", (other,): "None", (netlink,): "3", (other, netlink): "4", (netlink, netlink): "4"}
        for handed, answer in cases.items():
            shell = " ".join(f"{n}<&{s.fileno()}" for n, s in enumerate(handed, 3))
            command = (
                f"exec env LISTEN_PID=$$ LISTEN_FDS={len(handed)} {sys.executable} -c {shlex.quote(script)} {shell}"
            )
            fds = [s.fileno() for s in handed]
            done = subprocess.run(["bash", "-c", command], pass_fds=fds, capture_output=True, text=True, check=True)
            assert done.stdout.strip() == answer
