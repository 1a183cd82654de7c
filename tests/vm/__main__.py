# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests by hand: `python -m tests.vm prepare|run|shell`."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.vm import missing, payload, snapshot
from tests.vm.agent import CommandTimeout, Completed
from tests.vm.guests import GUESTS, REQUIRED, Guest
from tests.vm.qemu import Machine
from tests.vm.sources import NoSourceError
from tests.vm.tool import BuildError


def main() -> int:
    """Run one subcommand; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description="Run the test suite's guests by hand.")
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="build and boot guests, so that tests find them in the cache")
    prepare.add_argument("guest", nargs="*", choices=[*GUESTS, []], default=[])
    prepare.add_argument("--require", choices=["all"], help="fail also for a guest that tests may do without")
    run = commands.add_parser("run", help="run a command in a guest")
    shell = commands.add_parser("shell", help="run commands in a guest, line by line")
    for parser_ in (run, shell):
        parser_.add_argument("guest", choices=GUESTS)
        parser_.add_argument("--bare", action="store_true", help="without our software")
        parser_.add_argument("--timeout", type=float, default=300.0, help="seconds a command may take")
    run.add_argument("line", help="a line of /bin/sh")
    options = parser.parse_args()

    if options.command == "prepare":
        required = GUESTS if options.require else options.guest or REQUIRED
        return _prepare_all(options.guest or GUESTS, required)
    with _machine(GUESTS[options.guest], options.bare) as machine:
        if options.command == "run":
            return _show(machine.run(options.line, options.timeout, check=False))
        return _interact(machine, options.timeout)


def _prepare_all(names: Iterable[str], required: Iterable[str]) -> int:
    """Prepare guests, all that can be, and note which are missing; returns 1 where that is one of the required.

    A guest that is not required and fails otherwise than for want of packages is not missing: it is left to its
    scenarios, which fail.
    """
    lacking = {}
    failed = []
    # Two at a time: most of a build is waiting for dpkg, most of a boot keeps one core busy.
    with ThreadPoolExecutor(max_workers=2) as pool:
        for name, job in [(name, pool.submit(_prepare, name)) for name in names]:
            try:
                print(job.result(), flush=True)
            except BuildError as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                failed.append(name)
                if isinstance(error, NoSourceError):
                    lacking[name] = error.reason
            except Exception:
                traceback.print_exc()
                failed.append(name)
    optional = {name: reason for name, reason in lacking.items() if name not in required}
    missing.note(names, optional)
    for name in failed:
        outcome = "is required" if name in required else "is missing" if name in optional else "fails its scenarios"
        print(f"{name} could not be prepared, and {outcome}.", file=sys.stderr)
    return int(not set(failed).isdisjoint(required))


def _prepare(name: str) -> str:
    began = time.monotonic()
    frozen = snapshot.twice(lambda: snapshot.booted(GUESTS[name]))
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
