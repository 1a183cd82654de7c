# SPDX-License-Identifier: GPL-2.0-or-later
"""The kdumphpd command: signals and systemd around the listener's loop."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kdumphpd import __version__, journal
from kdumphpd.client import HelperUnavailable, ask
from kdumphpd.listener.loop import Loop
from kdumphpd.listener.receive import passed_socket
from kdumphpd.messages import MessageId
from kdumphpd.protocol import Outcome, Request

log = journal.logger()

EXIT_CONFIG = 78  # EX_CONFIG
CONFIGURE_PATIENCE = 30.0  # seconds; less than WatchdogSec=
LONGEST_TURN = 60.0  # seconds
STORED = "FDNAME=uevents"
STATUS_REFUSED = "The new configuration is in error and was not taken; see the journal"


def main() -> None:
    journal.configure("kdumphpd")
    if sys.argv[1:]:
        _command_line()
        return
    from systemd import daemon as systemd

    def keep(descriptor: int) -> None:
        """Leave the socket in systemd's care: a listener that is started again finds what has arrived meanwhile."""
        systemd.notify(f"FDSTOREREMOVE=1\n{STORED}")
        systemd.notify(f"FDSTORE=1\n{STORED}", fds=[descriptor])

    sys.exit(Daemon(Path("/"), systemd.notify, keep).run())


def _command_line() -> None:
    import argparse

    from kdumphpd import config_file

    parser = argparse.ArgumentParser(prog="kdumphpd", description="Kdump CPU and memory hotplug daemon.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--check-config", action="store_true", help="read the configuration, say what is wrong, exit")
    parser.parse_args()
    try:
        config_file.load(Path("/"))
    except config_file.ConfigError as error:
        hint = "" if os.geteuid() == 0 else "; only root may be permitted to read it"
        log.error(f"the configuration is in error: {error}{hint}", id=MessageId.CONFIG_REFUSED)
        sys.exit(EXIT_CONFIG)


class Daemon:
    """`notify` is sd_notify(3), `keep` what is done with the descriptor of each uevent socket."""

    def __init__(self, root: Path, notify: Callable[[str], object], keep: Callable[[int], None]) -> None:
        self._root = root
        self._notify = notify
        self._keep = keep
        self._signals: set[int] = set()
        self._pinged = 0.0
        limit = os.environ.get("WATCHDOG_USEC", "")
        self._ping_every = int(limit) / 1e6 / 2 if limit.isdecimal() and int(limit) else None

    def run(self) -> int:
        """Listen until SIGTERM; the exit status."""
        loop = Loop(self._root, self._notify, passed_socket(), self._keep)
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._signals.add(number))
        loop.watch_descriptor(reader.fileno(), lambda: _drain(reader))
        try:
            loop.open()
        except OSError as error:
            log.error(f"cannot receive uevents: {error}", id=MessageId.EVENTS_LOST)
            loop.close()
            return os.EX_OSERR
        log.info(f"kdumphpd {__version__} receives CPU and memory uevents", id=MessageId.STARTED)
        loop.start()
        self._notify("READY=1")
        try:
            self._serve(loop)
            self._say_goodbye(loop)
        finally:
            signal.set_wakeup_fd(-1)
            reader.close()
            writer.close()
            loop.close()
        return os.EX_OK

    def _serve(self, loop: Loop) -> None:
        while True:
            if self._signals & {signal.SIGTERM, signal.SIGINT}:
                return
            if signal.SIGHUP in self._signals:
                self._signals.discard(signal.SIGHUP)
                self._reload(loop)
            # From the loop alone, so that a loop that hangs is noticed. sd_watchdog_enabled(3).
            if self._ping_every is not None and time.monotonic() - self._pinged >= self._ping_every:
                self._pinged = time.monotonic()
                self._notify("WATCHDOG=1")
            loop.turn(min(LONGEST_TURN, self._ping_every or LONGEST_TURN))

    def _reload(self, loop: Loop) -> None:
        """SIGHUP: have the helper read the configuration again; a bad one changes nothing."""
        # Both in one datagram, as sd_notify(3) asks: systemd tells by the time that this reload is the one it wanted.
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            result = ask(self._root, Request.CONFIGURATION, CONFIGURE_PATIENCE)
            problem = "" if result.outcome is Outcome.CONFIGURED else result.detail
        except HelperUnavailable as error:
            problem = str(error)
        if problem:
            log.error(f"keeping the old configuration: {problem}", id=MessageId.CONFIG_REFUSED)
            self._notify(f"STATUS={STATUS_REFUSED}")
        else:
            loop.configured(result)
            log.info("configuration reloaded", id=MessageId.CONFIG_RELOADED)
        self._notify("READY=1")

    def _say_goodbye(self, loop: Loop) -> None:
        self._notify("STOPPING=1")
        if left := loop.unfinished():
            log.warning(
                f"stopping with {left}: the distribution's udev rule takes over and has not seen these events; start "
                "kdumphpd again, or reload kdump by hand",
                id=MessageId.STOPPED_UNFINISHED,
            )
        else:
            log.info("stopping; the distribution's udev rule takes over again", id=MessageId.STOPPED)


def _drain(reader: socket.socket) -> None:
    reader.recv(4096)


if __name__ == "__main__":
    main()
