# SPDX-License-Identifier: GPL-2.0-or-later
"""What several files say of one thing is the same."""

import re
from pathlib import Path

import pytest

from kdumphpd import __version__

ROOT = Path(__file__).parents[2]


def test_the_changelogs_are_of_this_version() -> None:
    version, date = re.findall(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    debian = (ROOT / "packaging/debian/changelog").read_text().splitlines()[0]
    assert version == __version__
    assert debian.startswith(f"kdumphpd ({__version__}) ")
    assert ("UNRELEASED" in debian) == (date == "unreleased")


def test_what_is_shown_in_etc_is_a_default() -> None:
    def settings(path: str) -> set[str]:
        text = (ROOT / path).read_text()
        assert not re.search(r"^[^#\n]", re.sub(r"^\[.*\]$", "", text, flags=re.MULTILINE), re.MULTILINE)
        return set(re.findall(r"^#(\w+ = .+)$", text, re.MULTILINE))

    shown = settings("packaging/etc.toml")
    assert shown
    assert shown <= settings("packaging/kdumphpd.toml")


@pytest.mark.parametrize("unit", sorted((ROOT / "systemd").glob("*.service")), ids=lambda unit: unit.name)
def test_every_directive_of_a_service_has_its_reason_beside_it(unit: Path) -> None:
    """A comment above it, or above the group that it is in."""
    lines = unit.read_text().split("[Service]\n")[1].split("\n[")[0].splitlines()
    reasoned = False
    for line in lines:
        reasoned = line.startswith("#") or (reasoned and line != "")
        assert reasoned or not line, line
