# SPDX-License-Identifier: GPL-2.0-or-later
"""The project speaks the words of systemd, udev and the kernel, so these do not appear in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kdumphpd

ROOT = Path(__file__).parents[2]

# What is said instead: helper, reload pending, ineffective, unresolved, record, observation, transient unit, burst,
# deferred, failed, again, close.
WORDS = (
    "root's part",
    *("owed", "burnt", "unmended", "memo", "sight", "run_apart"),
    *("storm", "put off", "in vain", "anew", "deafen"),
)
PATTERN = re.compile(rf"\b(?:{'|'.join(map(re.escape, WORDS))})s?\b", re.IGNORECASE)

PLACES = (
    Path(kdumphpd.__file__).parent,  # where it is installed, in the package's own test
    *(ROOT / name for name in ("systemd", "udev", "docs", "packaging", "README.md", "CONTRIBUTING.md")),
)


def files() -> Iterator[Path]:
    """What is written by hand; the documentation is missing in the package's own test."""
    for path in PLACES:
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


@pytest.mark.parametrize("path", sorted(files()), ids=str)
def test_a_file_has_none_of_the_words(path: Path) -> None:
    lines = path.read_text(errors="replace").splitlines()
    found = [f"{path.name}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if PATTERN.search(line)]
    assert not found, "\n".join(found)
