# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking journalctl for the listener's entries, with its own options for which of them."""

import argparse
import os
import subprocess

from kdumphpd.cli.arguments import OPTIONAL
from kdumphpd.cli.entries import DIED, Entry, entries
from kdumphpd.cli.facts import OURS
from kdumphpd.cli.output import NoAnswerError
from kdumphpd.messages import MessageId

MAX_SAID = 1000  # characters of what journalctl complains of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that choose entries: journalctl's, with its meaning."""
    parser.add_argument("-S", "--since", metavar="TIME", help="entries not older than that, as journalctl takes it")
    parser.add_argument("-U", "--until", metavar="TIME", help="entries not newer than that")
    parser.add_argument(
        "-b", "--boot", nargs="?", const="", metavar="BOOT", help="entries of this boot, or of another one: -1, an ID"
    )
    parser.add_argument(
        "-n",
        "--lines",
        nargs="?",
        const="",
        metavar="N",
        help="the last N entries, 10 without a number",
    )


def command(options: argparse.Namespace, priority: str) -> list[str]:
    """The call of journalctl. `priority`: the least important one.

    Any process may log with our MESSAGE_IDs. The unit, and the PID of systemd's, are journald's own word of whoever
    has sent the entry (systemd.journal-fields(7), "Trusted Journal Fields").
    """
    chosen = {"since": options.since, "until": options.until, "boot": options.boot, "lines": options.lines}
    given = [(name, value) for name, value in chosen.items() if value is not None]
    return [
        "journalctl",
        *("--quiet", "--no-pager", "--output=json"),
        f"--priority={priority}",
        # With "=": whatever the operator has given is a value, and never an option.
        *(f"--{name}" if value == "" and name in OPTIONAL.values() else f"--{name}={value}" for name, value in given),
        f"_SYSTEMD_UNIT={OURS}",
        *(f"MESSAGE_ID={id_}" for id_ in MessageId),
        "+",  # or
        # One that was killed has said nothing. ExecStart: not of a command that runs before or after it.
        *("_PID=1", f"UNIT={OURS}", "COMMAND=ExecStart", f"MESSAGE_ID={DIED}"),
    ]


def read(options: argparse.Namespace, priority: str) -> list[Entry]:
    """The entries that were asked for, the oldest first. Raises NoAnswerError."""
    try:
        # In memory: a pipe might fill while the other one is read, and no folder for temporary files be writable.
        with os.fdopen(os.memfd_create("journalctl"), "w+b") as said:
            process = subprocess.Popen(command(options, priority), stdout=subprocess.PIPE, stderr=said)
            with process:
                found = list(entries(process.stdout or ()))
            said.seek(0)
            words = said.read(MAX_SAID).decode("utf-8", "replace").strip()
    except OSError as error:
        raise NoAnswerError(f"cannot run journalctl: {error.strerror}") from error
    if process.returncode:
        raise NoAnswerError(f"journalctl failed: {words or f'exit status {process.returncode}'}")
    return found
