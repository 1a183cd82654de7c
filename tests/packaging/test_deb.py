# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package as a file. What it does in a machine is in tests/vm/test_package.py."""

import re
import subprocess
from pathlib import Path

from tests.packaging import listing
from tests.vm import deb as debs


def field(deb: Path, name: str) -> str:
    return subprocess.run(("dpkg-deb", "--field", deb, name), capture_output=True, text=True, check=True).stdout


def test_make_deb_has_nothing_to_warn_of_and_is_reproducible(deb: Path, tmp_path: Path) -> None:
    """With unit tests on the newer Python and lintian, it makes what was built without them, bit by bit."""
    debs.everything(tmp_path)
    (again,) = tmp_path.glob("*.deb")
    assert again.read_bytes() == deb.read_bytes()
    found = [line for line in (tmp_path / "lintian.txt").read_text().splitlines() if re.match("[EWIPX]: ", line)]
    assert not found
    assert len(list(tmp_path.glob("*.dsc"))) == 1
    assert len(list(tmp_path.glob("kdumphpd_*.orig.tar.gz"))) == 1


def test_it_holds_what_make_install_installs(deb: Path, installed: Path) -> None:
    assert listing.common(listing.of_deb(deb)) == listing.common(listing.of_root(installed))


def test_it_is_one_package_for_every_release(deb: Path) -> None:
    assert field(deb, "Architecture") == "all\n"
    needs = field(deb, "Depends").strip().split(", ")
    # In any version: Debian 12 has older ones.
    assert {f"python3-{name}" for name in ("pydantic", "pyudev", "structlog", "systemd")} < set(needs)
    assert "python3:any (>= 3.11~)" in needs
    assert field(deb, "Recommends") == "kdump-tools\n"


def test_an_administrators_configuration_survives_upgrades(deb: Path) -> None:
    conffiles = subprocess.run(("dpkg-deb", "--info", deb, "conffiles"), capture_output=True, text=True, check=True)
    assert conffiles.stdout == "/etc/kdumphpd.toml\n"
