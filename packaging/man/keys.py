# SPDX-License-Identifier: GPL-2.0-or-later
"""Fills the KEYS section of kdumphpd.toml(5), standard input to standard output, from the models in config.py."""

import json
import sys
from collections.abc import Iterator

from kdumphpd import config

PLACE = "@KEYS@"


def main() -> None:
    before, after = sys.stdin.read().split(f"{PLACE}\n")
    sys.stdout.write(before + "".join(f"{line}\n" for line in keys()) + after)


def keys() -> Iterator[str]:
    """The section in mdoc(7), line by line."""
    for section, defaults in config.sections():
        yield f".Ss [{section}]"
        yield sentence(config.description(section))
        yield ".Bl -tag -width Ds"
        for name, default in defaults.items():
            key = f"{section}.{name}"
            quoted = escape(f"{name} = {json.dumps(default)}").replace('"', r"\(dq")
            yield f'.It Va "{quoted}"'
            yield sentence(config.description(key))
            yield sentence(f"takes {config.expected(key)}")
        yield ".El"


def sentence(text: str) -> str:
    return escape(f"{text[0].upper()}{text[1:]}.")


def escape(text: str) -> str:
    r"""`text` as mdoc takes it literally: a backslash is \e, and no line is a macro."""
    text = text.replace("\\", r"\e")
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    main()
