# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole kdumphpd command, with a real sd_notify socket, in namespaces of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kdumphpd import state
from kdumphpd.daemon import EXIT_CONFIG
from tests.uevents.namespace import in_namespace, mount_tmpfs

COMMAND = [sys.executable, "-m", "kdumphpd.daemon"]


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
def test_it_is_ready_when_it_listens_and_stops_when_asked() -> None:
    with daemon() as subject:
        subject.says("READY=1")
        assert state.read(Path("/")).receive_buffer > 0
        subject.process.terminate()
        subject.says("STOPPING=1")
        status, log = subject.ends()
    assert status == 0
    assert "listens for CPU and memory hotplug" in log
    assert "stopping" in log
    assert "Traceback" not in log


@in_namespace
def test_the_first_look_is_told_to_systemd_and_kept_in_the_state() -> None:
    with daemon() as subject:
        subject.says("STATUS=No kdump image is loaded, and none was loaded by us; nothing to keep armed")
        subject.process.terminate()
        subject.ends()
        found = state.read(Path("/"))
    assert found.storms == 1
    assert found.last is not None
    assert found.last.sentence.startswith("everything may have changed (kdumphpd has just started): ")


@in_namespace
def test_a_new_configuration_is_taken_at_sighup_in_one_datagram_with_its_time() -> None:
    with daemon() as subject:
        subject.says("READY=1")
        Path("/etc/kdumphpd.toml").write_text("[storm]\nquiet = 2\n")
        subject.process.send_signal(signal.SIGHUP)
        lines = subject.says("RELOADING=1")
        assert any(line.startswith("MONOTONIC_USEC=") for line in lines)
        subject.says("READY=1")
        subject.process.terminate()
        _, log = subject.ends()
    assert "configuration reloaded" in log


@in_namespace
def test_a_bad_configuration_at_sighup_changes_nothing_and_is_said() -> None:
    with daemon() as subject:
        subject.says("READY=1")
        Path("/etc/kdumphpd.toml").write_text("[storm]\nquiet = 0\n")
        subject.process.send_signal(signal.SIGHUP)
        subject.says("RELOADING=1")
        subject.says("STATUS=The new configuration is in error and was not taken; see the journal")
        subject.says("READY=1")
        subject.process.terminate()
        status, log = subject.ends()
    assert status == 0
    assert "keeping the old configuration: /etc/kdumphpd.toml: storm.quiet is 0" in log


@in_namespace
def test_a_bad_configuration_at_the_start_is_an_exit_status_of_its_own() -> None:
    mount_tmpfs("/etc")
    Path("/etc/kdumphpd.toml").write_text("[strom]\n")
    for command in (COMMAND, [*COMMAND, "--check-config"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == EXIT_CONFIG
        assert "unknown key strom" in done.stderr
    Path("/etc/kdumphpd.toml").write_text("")
    assert subprocess.run([*COMMAND, "--check-config"], timeout=30, check=False).returncode == 0


@in_namespace
def test_the_watchdog_is_fed_from_the_loop() -> None:
    with daemon(WATCHDOG_USEC="200000") as subject:
        subject.says("READY=1")
        for _ in range(3):
            subject.says("WATCHDOG=1")
