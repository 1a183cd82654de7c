# SPDX-License-Identifier: GPL-2.0-or-later
"""What `make install` installs, and what the commands say of themselves: both for tests of the documentation."""

import functools
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
COMMANDS = {"kdumphpd": "kdumphpd.listener.daemon", "kdumphpctl": "kdumphpd.cli"}

_kept: list[tempfile.TemporaryDirectory[str]] = []  # until the end of the tests


@functools.cache
def tree() -> Path:
    """The root of a tree with everything that is installed, /usr in it."""
    _kept.append(tempfile.TemporaryDirectory(prefix="kdumphpd-installed-"))
    subprocess.run(
        ["make", "-C", CHECKOUT, "install", f"DESTDIR={_kept[-1].name}", "PREFIX=/usr"],
        stdout=subprocess.DEVNULL,
        timeout=300,
        check=True,
    )
    return Path(_kept[-1].name)


@functools.cache
def options(command: str, *verb: str) -> frozenset[str]:
    """The options that `--help` of a command, or of one of its verbs, lists: "-h", "--help" …"""
    program = f"from {COMMANDS[command]} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *verb, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    lines = [line for line in done.stdout.splitlines() if re.match(r" +-", line)]
    return frozenset(word for line in lines for word in re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", line))
