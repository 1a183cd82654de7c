# SPDX-License-Identifier: GPL-2.0-or-later
"""Licence and origin of every file, and the archive of a release."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.packaging.listing import CHECKOUT

MAKE_DIST = CHECKOUT / "packaging/make-dist"


def test_every_file_has_a_licence_and_an_origin() -> None:
    command = (sys.executable, "-m", "reuse", "--root", CHECKOUT, "lint", "--lines")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_licence_is_the_same_text_wherever_it_is_looked_for() -> None:
    assert (CHECKOUT / "LICENSE").read_bytes() == (CHECKOUT / "LICENSES/GPL-2.0-or-later.txt").read_bytes()


def test_equal_sources_are_an_equal_archive(tmp_path: Path) -> None:
    for name, umask, zone in (("one", 0o022, "UTC"), ("two", 0o077, "Asia/Tokyo")):
        archive = tmp_path / f"{name}.tar.gz"
        subprocess.run((MAKE_DIST, archive), env=os.environ | {"TZ": zone}, umask=umask, check=True)
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "one.tar.gz") as tar:
        members = tar.getmembers()
    assert {(member.uname, member.gname) for member in members} == {("root", "root")}
    names = {member.name.partition("/")[2] for member in members}
    assert {"LICENSE", "LICENSES/GPL-2.0-or-later.txt", "plans/service.fmf", "packaging/debian/control"} <= names
    assert not [name for name in names if name.startswith(("build", ".git", "debian")) and name != ".gitignore"]
