# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy module, compiled against this machine's reference policy. It is loaded in tests/vm/test_selinux.py."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.packaging.listing import CHECKOUT

SOURCES = CHECKOUT / "packaging/selinux"
MAKEFILE = "/usr/share/selinux/devel/Makefile"


def test_the_policy_module_compiles(tmp_path: Path) -> None:
    folder = shutil.copytree(SOURCES, tmp_path / "module")
    done = subprocess.run(
        ("make", "-C", folder, "-f", MAKEFILE, "kdumphpd.pp"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    unpacked = ("semodule_unpackage", folder / "kdumphpd.pp", tmp_path / "mod", tmp_path / "contexts")
    subprocess.run(unpacked, check=True)
    assert "kdumphpd_helper_exec_t" in (tmp_path / "contexts").read_text()


def test_no_domain_is_permissive() -> None:
    assert not re.search(r"^permissive", (SOURCES / "kdumphpd.te").read_text(), re.MULTILINE)


def test_the_labels_are_of_what_is_installed(installed: Path) -> None:
    files = re.findall(r"^(/usr/\S+)", (SOURCES / "kdumphpd.fc").read_text(), re.MULTILINE)
    assert files
    for path in files:
        assert (installed / path[1:]).exists(), path


def test_nothing_is_executed_from_a_library_folder(installed: Path) -> None:
    """/usr/lib is lib_t, which no policy lets systemd execute as a service."""
    outside = [path for path in (installed / "usr/lib").rglob("*") if path.is_file() and path.stat().st_mode & 0o111]
    assert outside == []
