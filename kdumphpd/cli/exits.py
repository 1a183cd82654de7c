# SPDX-License-Identifier: GPL-2.0-or-later
"""The exit statuses of kdumphpctl: those of LSB's `status` action, and the table that `--help` shows.

Source: LSB Core 5.0, "Init Script Actions". `kdumphpctl check` alone has Nagios' instead.
"""

ARMED = 0
WRONG = 1
USAGE = 2  # argparse's; nothing else ends with it
NOT_LOADED = 3
UNKNOWN = 4

CHECK = "check"  # the verb whose exit statuses are Nagios'
CHECK_UNKNOWN = 3

MEANING = {
    ARMED: "armed: an image is loaded, and right as far as is known; or what was asked for was done",
    WRONG: "wrong: out of date, unsafe, or missing against the operator's wish",
    USAGE: "wrong usage (of check: 3)",
    NOT_LOADED: "no image is loaded, and none is meant to be",
    UNKNOWN: "that can't be told, the answer can't be written, or kdumphpd does not run",
}


def table() -> str:
    """The text below `--help`."""
    return "\n".join(["exit statuses:", *(f"  {number}  {meaning}" for number, meaning in MEANING.items())])


def of_failure(verb: str) -> int:
    """The exit status where `verb` has no answer."""
    return CHECK_UNKNOWN if verb == CHECK else UNKNOWN
