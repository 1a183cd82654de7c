# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin for sos, run by Debian 13's sos where kdumphpd is at work."""

from pathlib import Path

import pytest

from tests.vm import deb, sources, tool
from tests.vm.payload import CHECKOUT
from tests.vm.qemu import Machine
from tests.vm.results import Result

OUTPUT = CHECKOUT / "build" / "sos"

# What a guest has of all that sos depends on; apt brings the rest.
PRESENT = "python3,kexec-tools,systemd,udev"
FETCH = """
set -e
chroot "$1" apt-get clean
chroot "$1" apt-get --yes --download-only --no-install-recommends install sosreport
cd "$1/var/cache/apt/archives"
tar -c -f "$1/sos.tar" *.deb
"""

PLUGINS = "/usr/lib/python3/dist-packages/sos/report/plugins"
REPORT = "sos report --only-plugins kdumphpd --batch --tmp-dir /var/tmp"
# Without xz, which no guest has.
UNPACK = """import glob, tarfile
with tarfile.open(*glob.glob("/var/tmp/sosreport-*.tar.?z")) as report:
    report.extractall("/root/found", filter="data")
    print(*report.getnames(), sep="\\n")"""


def packages(directory: Path) -> bytes:
    """An archive of sos and of what it needs that no guest has."""

    def make(lines: str) -> None:
        listed = directory / "sources.list"
        listed.write_text(lines)
        hooks = (FETCH, f"copy-out /sos.tar {directory}")
        arguments = ("--variant=apt", f"--include={PRESENT}", "--format=null")
        release = deb.RELEASE.suite
        tool.run("mmdebstrap", *arguments, *(f"--customize-hook={h}" for h in hooks), release, "-", str(listed))

    sources.first_that_works(deb.RELEASE, make, updates=True)
    return (directory / "sos.tar").read_bytes()


@pytest.mark.long
@pytest.mark.guests("debian13")
def test_sos_report(machine: Machine, result: Result, tmp_path: Path) -> None:
    """It holds what is asked of whoever reports: status, inspect, state, configuration, journal, udev's rules."""
    machine.write_file("/root/sos/sos.tar", packages(tmp_path))
    machine.run("cd /root/sos && tar -xf sos.tar && dpkg --force-depends --install *.deb", timeout=600)
    machine.write_file(f"{PLUGINS}/kdumphpd.py", (CHECKOUT / "packaging/sos/kdumphpd.py").read_text())
    machine.write_file("/etc/kdumphpd.toml.d/site.toml", "[events]\nsettle_time = 2\n")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "sos.log").write_text(machine.run(f"{REPORT} 2>&1", timeout=600).stdout)

    machine.write_file("/root/unpack.py", UNPACK)
    listing = machine.run("python3 /root/unpack.py").stdout
    (OUTPUT / "contents.txt").write_text(listing)
    for part in (
        "/etc/kdumphpd.toml.d/site.toml",
        "/usr/lib/kdumphpd/kdumphpd.toml",
        "/run/kdumphpd/state.json",
        "/run/kdumphpd-helper/record.json",
        "/run/udev/rules.d/50-kdump-tools.rules",
        "/sos_commands/kdumphpd/kdumphpctl_status",
        "/sos_commands/kdumphpd/kdumphpctl_inspect",
        "/sos_commands/kdumphpd/kdumphpd_--check-config",
    ):
        assert f"{part}\n" in listing, part
    assert "/sos_commands/kdumphpd/journalctl" in listing

    found = "/root/found/*/sos_commands/kdumphpd"
    assert machine.run(f"cat {found}/kdumphpctl_status").stdout.startswith("protected     yes")
    assert "elfcorehdr" in machine.run(f"cat {found}/kdumphpctl_inspect").stdout
    assert "kdumphpd started" in machine.run(f"cat {found}/journalctl*").stdout
    result.verdict = "all is in the report"
