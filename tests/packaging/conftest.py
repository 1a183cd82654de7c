# SPDX-License-Identifier: GPL-2.0-or-later
import subprocess
from pathlib import Path

import pytest

from tests.packaging import listing
from tests.unit.leftovers import leaves_nothing_behind
from tests.vm import deb as debs

__all__ = ["leaves_nothing_behind"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root that `make install` fills."""
    root = tmp_path_factory.mktemp("installed")
    subprocess.run(["make", "-C", listing.CHECKOUT, "install", f"DESTDIR={root}", "PREFIX=/usr"], check=True)
    return root


@pytest.fixture(scope="session")
def deb() -> Path:
    """The Debian package that the scenarios install."""
    return debs.package()


@pytest.fixture(scope="session")
def rpm() -> Path:
    """The binary package, fresh from `make rpm`, with which rpmlint is content."""
    subprocess.run(["make", "-C", listing.CHECKOUT, "rpm"], check=True)
    (package,) = (listing.CHECKOUT / "build" / "rpm").glob("kdumphpd-[0-9]*.noarch.rpm")
    return package
