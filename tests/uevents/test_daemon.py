# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole kdumphpd command, with a real sd_notify socket, in namespaces of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from kdumphpd import state
from kdumphpd.listener.daemon import EXIT_CONFIG
from kdumphpd.protocol import Outcome, Result, Settings, encode
from kdumphpd.runtime import SOCKET
from tests.uevents.namespace import in_namespace, mount_tmpfs

COMMAND = [sys.executable, "-m", "kdumphpd.listener.daemon"]


class Daemon:
    """A running kdumphpd, and what it says to systemd."""

    def __init__(self, process: subprocess.Popen[str], notifications: socket.socket) -> None:
        self.process = process
        self._notifications = notifications

    def says(self, assignment: str) -> list[str]:
        """Wait until a notification holds `assignment`; its lines."""
        while True:
            lines = self._notifications.recv(4096).decode().splitlines()
            if assignment in lines:
                return lines

    def ends(self) -> tuple[int, str]:
        """The exit status, and what was logged."""
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log


@contextlib.contextmanager
def daemon(**environment: str) -> Iterator[Daemon]:
    # Nothing of this machine's configuration, sockets or state.
    mount_tmpfs("/run")
    mount_tmpfs("/etc")
    Path("/run/kdumphpd").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind("/run/notify")
        notifications.settimeout(30)
        variables = os.environ | {"NOTIFY_SOCKET": "/run/notify"} | environment
        process = subprocess.Popen(COMMAND, env=variables, stderr=subprocess.PIPE, text=True)
        try:
            yield Daemon(process, notifications)
        finally:
            process.kill()
            process.communicate()


@in_namespace
def test_it_is_ready_when_it_receives_and_stops_when_asked() -> None:
    with daemon() as subject:
        subject.says("READY=1")
        assert state.read(Path("/")).receive_buffer > 0
        subject.process.terminate()
        subject.says("STOPPING=1")
        status, log = subject.ends()
    assert status == 0
    assert "receives CPU and memory uevents" in log
    assert "stopping" in log
    assert "Traceback" not in log


@contextlib.contextmanager
def helper(*answers: Result) -> Iterator[list[str]]:
    """In the helper's place: gives these answers, one a request; which requests there were."""
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/{SOCKET}")
        server.listen()

        def serve() -> None:
            for answer in answers:
                with server.accept()[0] as client:
                    asked.append(client.recv(100).decode().strip())
                    client.sendall(encode(answer))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(30)


SETTINGS = Settings(settle_time=1, max_delay=10, interval=3600)
NOT_LOADED = Result(Outcome.NOT_LOADED, settings=SETTINGS)


@in_namespace
def test_the_first_check_is_told_to_systemd_and_kept_in_the_state() -> None:
    with daemon() as subject, helper(NOT_LOADED) as asked:
        subject.says("STATUS=No kdump image is loaded (it was unloaded, or kdump is stopped or not set up)")
        for _ in range(300):
            if (found := state.read(Path("/"))).checks:
                break
            time.sleep(0.1)
        subject.process.terminate()
        _, log = subject.ends()
    assert asked == ["check"]
    assert found.checks == 1
    assert "kdumphpd started: no kdump image is loaded" in log


@in_namespace
def test_a_new_configuration_is_taken_at_sighup_in_one_datagram_with_its_time() -> None:
    with daemon() as subject, helper(NOT_LOADED, Result(Outcome.CONFIGURED, settings=SETTINGS)) as asked:
        subject.says("STATUS=No kdump image is loaded (it was unloaded, or kdump is stopped or not set up)")
        subject.process.send_signal(signal.SIGHUP)
        lines = subject.says("RELOADING=1")
        assert any(line.startswith("MONOTONIC_USEC=") for line in lines)
        subject.says("READY=1")
        subject.process.terminate()
        _, log = subject.ends()
    assert asked == ["check", "configuration"]
    assert "configuration reloaded" in log


@in_namespace
def test_a_bad_configuration_at_sighup_changes_nothing_and_is_said() -> None:
    refused = Result(Outcome.FAILED, detail="/etc/kdumphpd.toml: events.settle_time is 0")
    with daemon() as subject, helper(NOT_LOADED, refused):
        subject.says("STATUS=No kdump image is loaded (it was unloaded, or kdump is stopped or not set up)")
        subject.process.send_signal(signal.SIGHUP)
        subject.says("RELOADING=1")
        subject.says("STATUS=The new configuration is in error and was not taken; see the journal")
        subject.says("READY=1")
        subject.process.terminate()
        status, log = subject.ends()
    assert status == 0
    assert "keeping the old configuration: /etc/kdumphpd.toml: events.settle_time is 0" in log


@in_namespace
def test_a_configuration_that_it_may_not_read_or_that_is_wrong_does_not_stop_it() -> None:
    with daemon() as subject:
        Path("/etc/kdumphpd.toml").write_text("nonsense")
        subject.says("READY=1")
        subject.process.terminate()
        assert subject.ends()[0] == 0


@in_namespace
def test_a_bad_configuration_is_an_exit_status_of_its_own_where_that_is_asked() -> None:
    mount_tmpfs("/etc")
    Path("/etc/kdumphpd.toml").write_text("[evnets]\n")
    done = subprocess.run([*COMMAND, "--check-config"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == EXIT_CONFIG
    assert "unknown key evnets" in done.stderr
    Path("/etc/kdumphpd.toml").write_text("")
    assert subprocess.run([*COMMAND, "--check-config"], timeout=30, check=False).returncode == 0


@in_namespace
def test_what_it_imports_stays_small() -> None:
    script = (
        "import sys, kdumphpd.listener.daemon; print(*{'asyncio', 'ssl', 'pydantic', 'structlog'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout.strip() == b""


@in_namespace
def test_the_watchdog_is_fed_from_the_loop() -> None:
    with daemon(WATCHDOG_USEC="200000") as subject:
        subject.says("READY=1")
        for _ in range(3):
            subject.says("WATCHDOG=1")
