# SPDX-License-Identifier: GPL-2.0-or-later
"""Tools of this machine that images are made with."""

import subprocess

LAST_LINES = 30


class BuildError(Exception):
    """An image could not be built; the message ends with what the failing tool said."""


def run(*command: str) -> str:
    """Run a tool and return what it printed. Raises BuildError with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed: see tests/packages.txt") from error
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
        raise BuildError(f"{command[0]} failed with exit code {done.returncode}:\n{last}")
    return done.stdout
