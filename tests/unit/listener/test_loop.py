# SPDX-License-Identifier: GPL-2.0-or-later
"""The listener's loop with a helper of the test's own on a real socket: what the state says at every moment."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd import journal, state
from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener import uevents
from kdumphpd.listener.coalesce import Uevent
from kdumphpd.listener.loop import Loop
from kdumphpd.listener.receive import Lost
from kdumphpd.protocol import Outcome, Progress, Reason, Result, Settings, Totals, encode
from kdumphpd.runtime import RECORD, SOCKET, STATE
from kdumphpd.state import State
from tests.unit.trees import CRASH_LOADED, kernel, put

QUICK = Settings(settle_time=0.05, max_delay=1, interval=3600)
CURRENT = Result(Outcome.CURRENT, reason=Reason.CURRENT, armed=True, kernel_updates=True, settings=QUICK)


class FakeMonitor:
    """In the netlink socket's place."""

    receive_buffer = 4096
    broken = False

    def __init__(self, passed: int | None = None) -> None:
        if FakeMonitor.broken:
            raise OSError("no netlink here")
        self.near, self.far = socket.socketpair()
        self.queue: list[Uevent | Lost] = []

    def fileno(self) -> int:
        return self.near.fileno()

    def send(self, *events: Uevent | Lost) -> None:
        self.queue += events
        self.far.send(b"x")

    def read(self) -> list[Uevent | Lost]:
        self.near.recv(100)
        events, self.queue = self.queue, []
        return events

    def close(self) -> None:
        self.near.close()
        self.far.close()


class Listener:
    """A loop, and the helper's end of its socket."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(root / SOCKET))
        self.server.listen()
        self.server.settimeout(5)
        self.loop = Loop(root, self.said.append)
        self.loop.open()

    @property
    def state(self) -> State:
        return state.read(self.root)

    @property
    def monitor(self) -> FakeMonitor:
        assert isinstance(self.loop._uevents._monitor, FakeMonitor)
        return self.loop._uevents._monitor

    def turn_until(self, done: Callable[[], bool]) -> None:
        for _ in range(200):
            self.loop.turn(0.02)
            if done():
                return
        raise AssertionError(self.state)

    def request(self) -> tuple[str, socket.socket]:
        self.turn_until(lambda: self.state.asking)
        client, _ = self.server.accept()
        return client.recv(100).decode().strip(), client

    def answer(self, result: Result) -> str:
        """Answer the next request; which it was."""
        word, client = self.request()
        with client:
            client.sendall(encode(Progress("reading")) + encode(result))
            self.turn_until(lambda: not self.state.asking)
        self.loop.turn(0)  # it has hung up
        return word

    def close(self) -> None:
        self.loop.close()
        self.server.close()


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setattr(uevents, "Monitor", FakeMonitor)
    FakeMonitor.broken = False
    put(tmp_path, {"run/kdumphpd/x": ""})
    listener = Listener(kernel(tmp_path))
    listener.loop.start()
    assert listener.answer(CURRENT) == "check"
    yield listener
    listener.close()


DIMM = [Uevent(Subsystem.MEMORY, "online", n) for n in range(8)]


def test_after_the_first_check_it_is_armed(listener: Listener) -> None:
    now = listener.state
    assert (now.healthy, now.checks, now.burst, now.asking) == (True, 1, False, False)
    assert listener.said[-1] == "STATUS=Armed; the kernel updates the image by itself"


def test_a_burst_is_in_the_state_from_its_first_event_on(listener: Listener) -> None:
    listener.monitor.send(*DIMM)
    listener.turn_until(lambda: listener.state.burst)
    assert listener.state.status == "A burst of CPU or memory uevents is being handled"
    assert listener.answer(CURRENT) == "update"
    now = listener.state
    assert (now.burst, now.bursts, now.events) == (False, 1, 8)
    assert now.last_burst is not None
    assert now.last_burst.sentence.endswith(": the kernel updated the kdump image")


def test_a_reload_of_an_image_that_did_describe_the_machine_was_for_no_stale_one(listener: Listener) -> None:
    for reason, stale in ((Reason.STALE, True), (Reason.NOT_UPDATABLE, False)):
        listener.monitor.send(*DIMM)
        listener.answer(Result(Outcome.RELOADED, reason, method="kexec -s", seconds=0.2, armed=True, settings=QUICK))
        assert listener.state.last_burst
        assert (listener.state.last_burst.stale > 0) == stale


def test_a_reload_that_an_operator_asked_for_is_counted_and_said(listener: Listener) -> None:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_send", lambda level, message, keywords: said.append(f"{level}: {message}"))
        for totals in (Totals(3, 1.0), Totals(5, 1.25)):
            listener.monitor.send(*DIMM)
            listener.answer(replace(CURRENT, totals=totals))
    assert said[1].startswith("info: the kdump image was reloaded 2 times by kdumphpctl rearm")
    assert said[1].endswith("(unprotected for 0.25 s)")
    assert (listener.state.reloads, listener.state.unprotected) == (2, 0.25)


def test_a_failure_is_red_and_green_after_it_was_fixed(listener: Listener) -> None:
    listener.monitor.send(*DIMM)
    listener.answer(Result(Outcome.FAILED, detail="no initrd", armed=True))
    assert not listener.state.healthy
    assert listener.state.status.startswith("The kdump image may be out of date: no initrd; next try in")
    listener.answer(CURRENT)
    assert listener.state.healthy


def test_a_deferred_reload_is_red_until_then(listener: Listener) -> None:
    listener.monitor.send(*DIMM)
    listener.answer(Result(Outcome.DEFERRED, detail="2 GiB missing", armed=True, wait=1.0))
    assert not listener.state.healthy
    assert listener.state.deferred_until
    assert "a deferred reload" in listener.loop.unfinished()
    listener.answer(CURRENT)
    assert listener.state.healthy
    assert listener.loop.unfinished() == ""


def test_an_image_that_the_kernel_has_put_right_meanwhile_is_not_called_out_of_date_until_then(
    listener: Listener,
) -> None:
    listener.monitor.send(*DIMM)
    listener.answer(Result(Outcome.DEFERRED, detail="2 GiB missing", armed=True, wait=3000.0))
    listener.monitor.send(*DIMM)
    assert listener.answer(CURRENT) == "update"
    assert listener.state.healthy


def test_a_pending_reload_is_unprotected_and_asked_for_at_once(listener: Listener) -> None:
    put(listener.root, {CRASH_LOADED: "0\n", RECORD: '{"pending": {"units": []}}'})
    listener.loop._look_at = 0
    assert listener.answer(Result(Outcome.FAILED, detail="no memory", pending=True)) == "check"
    assert listener.state.status == "UNPROTECTED: no kdump image is loaded; trying again"
    assert not listener.state.healthy
    assert "no kdump image loaded" in listener.loop.unfinished()


def test_a_helper_that_hangs_up_is_red_and_asked_again(listener: Listener) -> None:
    listener.monitor.send(*DIMM)
    _, client = listener.request()
    client.close()
    listener.turn_until(lambda: not listener.state.asking)
    assert not listener.state.healthy
    assert "hung up" in listener.state.failure
    listener.answer(CURRENT)
    assert listener.state.healthy
    assert listener.state.bursts == 1


def test_an_image_that_the_operator_unloaded_is_no_request(listener: Listener) -> None:
    """But one, for the helper to know that the next image is another one."""
    put(listener.root, {CRASH_LOADED: "0\n"})
    for burst in (1, 2):
        listener.monitor.send(*DIMM)
        if burst == 1:
            listener.answer(Result(Outcome.NOT_LOADED))
        listener.turn_until(lambda burst=burst: listener.state.bursts == burst)  # type: ignore[misc]
        assert listener.state.healthy
        assert (
            listener.state.status == "No kdump image is loaded (it was unloaded, or kdump is stopped or not set up)"
        )
        assert listener.state.checks == 2


def test_a_socket_that_cannot_be_opened_again_is_red_until_it_can(listener: Listener) -> None:
    def fail() -> list[Uevent | Lost]:
        raise OSError("gone")

    FakeMonitor.broken = True
    listener.monitor.read = fail  # type: ignore[method-assign]
    listener.monitor.send(*DIMM)
    listener.turn_until(lambda: not listener.state.receiving)
    assert not listener.state.healthy
    assert listener.state.status.startswith("Uevents cannot be received")
    FakeMonitor.broken = False
    listener.loop._uevents.reopen_at = 0.001
    listener.turn_until(lambda: listener.state.receiving)
    assert listener.answer(CURRENT) == "update"
    assert listener.state.healthy
    assert listener.state.overflows == 1


def test_an_overflow_is_one_full_check(listener: Listener) -> None:
    listener.monitor.send(Lost("more arrived at once than the socket could hold"))
    assert listener.answer(CURRENT) == "update"
    assert (listener.state.overflows, listener.state.events) == (1, 0)


def test_stopping_amid_a_burst_says_so(listener: Listener) -> None:
    listener.monitor.send(*DIMM)
    listener.turn_until(lambda: listener.state.burst)
    assert listener.loop.unfinished() == "a burst of CPU or memory uevents that was not handled"


def test_an_image_of_somebody_else_is_checked(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdumphpd.listener.schedule.REPLACED_DELAY", 0.05)
    put(listener.root, {"var/log/kdump.log": "loaded"})
    listener.loop._look_at = 0
    assert listener.answer(CURRENT) == "check"


def test_a_state_file_that_cant_be_written_stops_nothing(listener: Listener) -> None:
    folder = (listener.root / STATE).parent
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    listener.monitor.send(*DIMM)
    for _ in range(10):
        listener.loop.turn(0.02)
    client, _ = listener.server.accept()
    client.close()
