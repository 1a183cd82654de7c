# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests by hand: `python -m tests.vm prepare|run|shell`."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.vm import payload, snapshot
from tests.vm.agent import CommandTimeout, Completed
from tests.vm.guests import GUESTS, Guest
from tests.vm.qemu import Machine


def main() -> int:
    """Run one subcommand; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description="Run the test suite's guests by hand.")
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="build and boot guests, so that tests find them in the cache")
    prepare.add_argument("guest", nargs="*", choices=[*GUESTS, []], default=[])
    run = commands.add_parser("run", help="run a command in a guest")
    shell = commands.add_parser("shell", help="run commands in a guest, line by line")
    for parser_ in (run, shell):
        parser_.add_argument("guest", choices=GUESTS)
        parser_.add_argument("--bare", action="store_true", help="without our software")
        parser_.add_argument("--timeout", type=float, default=300.0, help="seconds a command may take")
    run.add_argument("line", help="a line of /bin/sh")
    options = parser.parse_args()

    if options.command == "prepare":
        # Two at a time: most of a build is waiting for dpkg, most of a boot keeps one core busy.
        with ThreadPoolExecutor(max_workers=2) as pool:
            for line in pool.map(_prepare, options.guest or GUESTS):
                print(line, flush=True)
        return 0
    with _machine(GUESTS[options.guest], options.bare) as machine:
        if options.command == "run":
            return _show(machine.run(options.line, options.timeout, check=False))
        return _interact(machine, options.timeout)


def _prepare(name: str) -> str:
    began = time.monotonic()
    frozen = snapshot.booted(GUESTS[name])
    return f"{name}: {frozen.directory} ({time.monotonic() - began:.0f} s)"


@contextmanager
def _machine(guest: Guest, bare: bool) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="kdumphpd-vm-") as directory:
        workdir = Path(directory)
        frozen = snapshot.booted(guest)
        software = None if bare else payload.build(workdir)
        if software:
            frozen = payload.installed(frozen, software)
        with frozen.restored(workdir, software.disk if software else None) as machine:
            yield machine


def _interact(machine: Machine, timeout: float) -> int:
    print("A line is a /bin/sh of its own. +mem MIB, +cpu, -mem ID, -cpu ID plug and unplug; end with ^D.")
    while True:
        try:
            line = input(f"{machine.guest.name}# ")
        except EOFError:
            return 0
        try:
            match line.split():
                case []:
                    pass
                case ["+mem", mib]:
                    print(machine.add_memory(int(mib)))
                case ["+cpu"]:
                    print(machine.add_cpu())
                case ["-mem", device]:
                    machine.remove_memory(device)
                case ["-cpu", device]:
                    machine.remove_cpu(device)
                case _:
                    _show(machine.run(line, timeout, check=False))
        except (AssertionError, ValueError, CommandTimeout) as error:
            print(error, file=sys.stderr)


def _show(completed: Completed) -> int:
    sys.stdout.write(completed.stdout)
    sys.stderr.write(completed.stderr)
    return completed.returncode


if __name__ == "__main__":
    sys.exit(main())
