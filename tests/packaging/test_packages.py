# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages beside each other."""

from pathlib import Path

from tests.packaging import listing


def test_the_deb_and_the_rpm_hold_the_same(deb: Path, rpm: Path) -> None:
    assert listing.common(listing.of_deb(deb)) == listing.common(listing.of_rpm(rpm))
