# SPDX-License-Identifier: GPL-2.0-or-later
"""Golden files: output as somebody has read it and found it good.

KDUMPHPD_GOLDEN=write writes them instead of comparing; what has changed is then for `git diff`, and for a reader.
"""

import difflib
import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "fixtures" / "golden"

# What a real machine says at one moment and not at the next: a retry is under way, or about to be.
PASSING = re.compile(r"^(?:burst|asking) .*\n|; (?:next try in \d+ s|see the journal)(?=$| \|)", re.MULTILINE)

NUMBER = re.compile(r"(?<!\[)\b(?:0x)?[0-9a-f]*\d[0-9a-f]*(?:[.:+-]\d+)*(?=s?\b)")

PLURAL = re.compile(r"\bN (\w+?)s\b")


# Of a real machine's history, which is another one each time; its files show it all the same.
HISTORY = re.compile(r"^(?:last burst|last check|failure|totals| {14}\d+ (?:burst|reload)) ?.*\n", re.MULTILINE)


def compare(name: str, text: str, *, numbers: bool = True) -> None:
    """Assert that `text` is what the file of that name holds.

    `numbers` False: numbers and where lines break may differ, for a real machine's times and addresses do, and what
    passes is left out.
    """
    path = FOLDER / name
    if not numbers:
        text = PASSING.sub("", text)
    if os.environ.get("KDUMPHPD_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return
    assert path.exists(), f"nobody has recorded {path} yet: KDUMPHPD_GOLDEN=write, and read what it writes"
    kept = path.read_text()
    if numbers:
        assert text == kept, f"{path} differs"
    else:
        difference = "\n".join(difflib.unified_diff(kept.splitlines(), text.splitlines(), lineterm=""))
        assert _masked(text) == _masked(kept), f"{path} differs in more than numbers:\n{difference}"


def _masked(text: str) -> list[str]:
    return PLURAL.sub(r"N \1", NUMBER.sub("N", HISTORY.sub("", text))).split()
