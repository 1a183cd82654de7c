# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of a command line as argparse takes them: the verb first, and every value with its option. Pure.

argparse takes a word that begins with "-" for an option, and so refuses `--since -30d`. getopt_long(3), which
journalctl goes by, takes whatever follows an option that needs a value.
"""

import re
from collections.abc import Sequence

DEFAULT = "status"
FOR_ALL = ("-h", "--help", "--version")

# Options that need a value, by their letter; those of journalctl's that may have one, and what that looks like.
VALUED = {"S": "since", "U": "until", "": "stopped"}
OPTIONAL = {"b": "boot", "n": "lines"}
VALUE = {
    "boot": re.compile(r"[-+]?\d+|all|[0-9a-f]{32}([-+]\d+)?", re.ASCII),
    "lines": re.compile(r"[-+]?\d+|all", re.ASCII),
}
FLAGS = "jq"  # letters that may stand before another one in one word


def arrange(words: Sequence[str]) -> list[str]:
    """The verb first, `status` where there is none; --json alone with its value, other values joined to theirs."""
    arranged = _joined(words)
    at = next((i for i, word in enumerate(arranged) if not word.startswith("-")), None)
    if at is not None:
        return [arranged[at], *arranged[:at], *arranged[at + 1 :]]
    return arranged if any(word in FOR_ALL for word in arranged) else [DEFAULT, *arranged]


def _joined(words: Sequence[str]) -> list[str]:
    joined, left = [], list(words)
    while left:
        word = left.pop(0)
        flags, name = _option(word)
        needed = name in VALUED.values()
        if name and left and (needed or VALUE[name].fullmatch(left[0])):
            joined += [*flags, f"--{name}={left.pop(0)}"]
        else:
            joined.append("--json=auto" if word == "--json" else word)
    return joined


def _option(word: str) -> tuple[list[str], str]:
    """The long name of the option whose value is the next word, "" for none, and the flags before it: "-qS"."""
    known = {**VALUED, **OPTIONAL}
    if word.startswith("--"):
        return [], word[2:] if word[2:] in known.values() else ""
    letter = word[1:].lstrip(FLAGS)
    if not word.startswith("-") or len(letter) != 1 or letter not in known:
        return [], ""
    return [f"-{flag}" for flag in word[1:-1]], known[letter]
