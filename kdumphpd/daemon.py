# SPDX-License-Identifier: GPL-2.0-or-later
"""The kdumphpd command: configuration, signals, systemd, around the listener's loop."""

import argparse
import asyncio
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import structlog
from systemd import daemon as systemd

from kdumphpd import __version__, client, config, journal
from kdumphpd.listener import Listener
from kdumphpd.messages import MessageId
from kdumphpd.protocol import Result, Verb

log = structlog.get_logger()

EXIT_CONFIG = 78  # EX_CONFIG: systemd is told not to try again, it would only fail again
STATUS_REFUSED = "The new configuration is in error and was not taken; see the journal"


def main() -> None:
    parser = argparse.ArgumentParser(prog="kdumphpd", description="Keep kdump armed through CPU and memory hotplug.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--check-config", action="store_true", help="read the configuration, say what is wrong, exit")
    options = parser.parse_args()
    journal.configure("kdumphpd")
    root = Path("/")
    try:
        settings = config.load(root)
    except config.ConfigError as error:
        log.error(f"cannot start: {error}", id=MessageId.CONFIG_REFUSED)
        sys.exit(EXIT_CONFIG)
    if options.check_config:
        return
    sys.exit(asyncio.run(_serve(root, settings)))


async def _serve(root: Path, settings: config.Config) -> int:
    async def request(verb: Verb, limit: float) -> Result:
        return await client.request(root, verb, limit)

    listener = Listener(root, settings, request, systemd.notify)
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(listener.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    loop.add_signal_handler(signal.SIGHUP, partial(_reload, root, listener))
    # run() has opened the socket when it first lets go of the loop.
    await asyncio.sleep(0)
    if not work.done():
        log.info(f"kdumphpd {__version__} listens for CPU and memory hotplug", id=MessageId.STARTED)
        listener.publish()
        systemd.notify("READY=1")
    watchdog = asyncio.create_task(_watchdog())
    try:
        await work
    except asyncio.CancelledError:
        log.info("stopping; the distribution's udev rule takes over again", id=MessageId.STOPPED)
    except OSError as error:
        log.error(f"cannot listen to uevents: {error}")
        return os.EX_OSERR
    finally:
        watchdog.cancel()
        systemd.notify("STOPPING=1")
    return os.EX_OK


def _reload(root: Path, listener: Listener) -> None:
    """SIGHUP: read the configuration again; a bad one changes nothing."""
    # Both in one datagram, as sd_notify(3) asks: systemd tells by the time that this reload is the one it wanted.
    systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
    try:
        listener.reconfigure(config.load(root))
    except config.ConfigError as error:
        log.error(f"keeping the old configuration: {error}", id=MessageId.CONFIG_REFUSED)
        systemd.notify(f"STATUS={STATUS_REFUSED}")
    else:
        log.info("configuration reloaded", id=MessageId.CONFIG_RELOADED)
        listener.publish()
    systemd.notify("READY=1")


async def _watchdog() -> None:
    """Ping systemd from the loop, so that a loop that hangs is noticed. sd_watchdog_enabled(3)."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    if not limit.isdecimal():
        return
    while True:
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(int(limit) / 1e6 / 2)


if __name__ == "__main__":
    main()
