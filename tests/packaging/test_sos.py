# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin for sos, run by Debian 13's sos where our package is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.listing import CHECKOUT
from tests.vm import deb as debs
from tests.vm import sources, tool

OUTPUT = CHECKOUT / "build" / "sos"

NEEDED = "sosreport,xz-utils,systemd,kexec-tools,python3-pyudev,python3-systemd,python3-pydantic,python3-structlog"

# What the package is told by: a state as the listener writes it is not there, for nothing runs in a chroot.
REPORT = """
set -e
chroot "$1" dpkg --install /tmp/kdumphpd.deb
mkdir -p "$1/run/kdumphpd" "$1/run/udev/rules.d"
echo '{}' > "$1/run/kdumphpd/state.json"
echo '# masked' > "$1/run/udev/rules.d/50-kdump-tools.rules"
chroot "$1" sos report --only-plugins kdumphpd --batch --tmp-dir /var/tmp
xz -dc "$1"/var/tmp/sosreport-*.tar.xz > "$1/tmp/report.tar"
"""


@pytest.mark.long
def test_sos_report_holds_what_is_asked_of_whoever_reports(deb: Path, tmp_path: Path) -> None:
    plugin = CHECKOUT / "packaging/sos/kdumphpd.py"
    shutil.copy(deb, tmp_path / "kdumphpd.deb")
    OUTPUT.mkdir(parents=True, exist_ok=True)

    def make(lines: str) -> None:
        listed = tmp_path / "sources.list"
        listed.write_text(lines)
        hooks = (
            f"copy-in {tmp_path / 'kdumphpd.deb'} /tmp",
            f"copy-in {plugin} /usr/lib/python3/dist-packages/sos/report/plugins",
            REPORT,
            f"copy-out /tmp/report.tar {OUTPUT}",
        )
        arguments = ("--variant=apt", f"--include={NEEDED}", "--format=null")
        release = debs.RELEASE.suite
        tool.run("mmdebstrap", *arguments, *(f"--customize-hook={h}" for h in hooks), release, "-", str(listed))

    sources.first_that_works(debs.RELEASE, make, updates=True)
    listing = subprocess.run(("tar", "-tf", OUTPUT / "report.tar"), capture_output=True, text=True, check=True).stdout
    (OUTPUT / "contents.txt").write_text(listing)
    for part in (
        "/etc/kdumphpd.toml",
        "/usr/lib/kdumphpd/kdumphpd.toml",
        "/run/kdumphpd/state.json",
        "/run/udev/rules.d/50-kdump-tools.rules",
        "/sos_commands/kdumphpd/kdumphpctl_status",
        "/sos_commands/kdumphpd/kdumphpctl_inspect",
        "/sos_commands/kdumphpd/kdumphpd_--check-config",
    ):
        assert f"{part}\n" in listing, part
    assert "/sos_commands/kdumphpd/journalctl" in listing
