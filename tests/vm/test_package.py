# SPDX-License-Identifier: GPL-2.0-or-later
"""The package in a machine's life: installed, upgraded, rebooted, removed without a trace."""

import re
from pathlib import Path

import pytest

from kdumphpd import __version__
from tests.vm import deb, journal, kdump, payload
from tests.vm.payload import Payload
from tests.vm.qemu import Machine
from tests.vm.results import Result

OLDER = "0.0.1"
UNITS = "kdumphpd.service kdumphpd-helper.socket kdumphpd-helper@1.service"

# What a package leaves wherever it was: apt's and dpkg's own records, the journal, and the folder in which systemctl,
# run at a terminal, lets itself be asked for passwords.
RECORDS = re.compile(
    r"/(var/(cache|lib|log)/(apt|dpkg|debconf|journal)|(var/log|run/log)/journal|var/log/dpkg.log|tmp/"
    r"|run/systemd/ask-password)"
)
# Debian's policy (9.2.2) and sysusers.d(5): a system user stays, so that its number is never another's.
USER = {f"/etc/{name}-" for name in ("group", "gshadow", "passwd", "shadow")}


@pytest.fixture(scope="session")
def enclosed(tmp_path_factory: pytest.TempPathFactory) -> Payload:
    return repositories(tmp_path_factory.mktemp("repositories"))


def repositories(folder: Path) -> Payload:
    """Two repositories: this package, and the same under a lower version."""
    packages = {"newer": deb.package(), "older": deb.package(version=OLDER)}
    return payload.pack_repositories(packages, folder)


def files(machine: Machine) -> set[str]:
    """What is on the disk and in /run."""
    return set(machine.run("find / /run -xdev ! -path '/proc/*'", timeout=120).stdout.splitlines())


def warnings(machine: Machine) -> list[str]:
    """What PID 1 had to say against our units."""
    return [line for line in journal.read(machine, "_PID=1 -p warning") if "kdumphpd" in line]


@pytest.mark.guests("debian12", "debian13")
def test_package_life(bare: Machine, result: Result) -> None:
    """Installed; upgraded while memory is plugged; removed amid a reload; purged. Nothing of it is left."""
    assert not warnings(bare)
    before = files(bare)  # with the mark that reading the journal leaves
    bare.run(payload.UNPACK)
    bare.run(payload.install(bare.guest, "older"), timeout=300)
    bare.run(payload.FIRST_CHECK, timeout=120)
    assert bare.run("kdumphpctl --version").stdout.split() == ["kdumphpctl", OLDER]
    assert any("receives CPU and memory uevents" in line for line in journal.read(bare, "-x -u kdumphpd", "short"))
    bare.run("systemctl is-enabled kdumphpd.service kdumphpd-helper.socket")
    bare.run(f"test -L {kdump.MASK}")

    # The administrator's word outlives the upgrade.
    configuration = "[events]\nsettle_time = 0.5\n"
    bare.write_file("/etc/kdumphpd.toml", configuration)
    # The new listener waits at its door, so the memory comes when nobody listens.
    bare.write_file(
        "/run/systemd/system/kdumphpd.service.d/wait.conf",
        "[Service]\nExecStartPre=+/bin/sh -c 'until test -e /run/go; do sleep 0.2; done'\n",
    )
    bare.run("systemctl daemon-reload")
    upgrade = bare.start(payload.install(bare.guest, "newer"))
    bare.wait_until("systemctl show -P SubState kdumphpd | grep -q start-pre", timeout=300)
    bare.add_memory(1024)
    bare.wait_until("[ $(ls -d /sys/devices/system/memory/memory* | wc -l) = 16 ]")
    kdump.online_memory(bare)
    bare.run("touch /run/go")
    upgrade.wait(300)
    after = kdump.wait_checked(bare)
    assert bare.run("kdumphpctl --version").stdout.split() == ["kdumphpctl", __version__]
    assert bare.read_file("/etc/kdumphpd.toml") == configuration
    [(first, last)] = kdump.dimms(bare)
    assert kdump.image_has(bare, first, last)
    result.reloads, result.verdict = after.reloads, kdump.inspect(bare)["verdict"]["state"]

    # A reload that has begun ends with an image, and only then does the package go.
    kdump.load(bare, "-c")
    bare.add_memory(1024)
    bare.wait_until("[ $(ls -d /sys/devices/system/memory/memory* | wc -l) = 24 ]")
    kdump.online_memory(bare)
    bare.wait_until("systemctl is-active -q 'kdumphpd-helper@*'")
    bare.run(payload.apt("remove kdumphpd", "newer"), timeout=300)
    assert kdump.loaded(bare)
    assert bare.run("systemctl list-units --all --no-legend --state=active,failed 'kdumphpd*'").stdout == ""
    assert not warnings(bare)
    bare.run("rm -r /run/go /run/systemd/system/kdumphpd.service.d")
    bare.run(payload.apt("purge kdumphpd", "newer"), timeout=300)
    assert bare.run("pgrep -u _kdumphpd", check=False).stdout == ""
    assert "kdumphpd" not in bare.run("journalctl --list-catalog").stdout
    bare.run(f"rm -r {payload.REPOSITORY}")
    # systemd keeps the folder of transient units.
    gone = {"/run/systemd/transient"}
    left = {path for path in files(bare) - before - gone if not RECORDS.match(path)}
    assert left <= USER


@pytest.mark.guests("debian12", "debian13")
def test_reboot(machine: Machine, result: Result) -> None:
    """It comes up by itself, after the distribution's first load, and finds the image right."""
    machine.reboot()
    machine.run("systemctl is-system-running --wait", timeout=300, check=False)
    after = kdump.wait_checked(machine)
    status = machine.run("kdumphpctl status")
    result.verdict = kdump.inspect(machine)["verdict"]["state"]
    assert result.verdict == "current", status.stdout
    assert after.reloads == 1  # safe and updatable from then on
    assert "kdump-tools.service" in machine.run("systemctl list-dependencies --after --plain kdumphpd").stdout
    loaded = machine.run("systemctl show -P ExecMainExitTimestampMonotonic kdump-tools").stdout
    started = machine.run("systemctl show -P ExecMainStartTimestampMonotonic kdumphpd").stdout
    assert 0 < int(loaded) <= int(started)
    assert not warnings(machine)


@pytest.mark.guests("debian12", "debian13")
def test_hardening(machine: Machine, result: Result) -> None:
    """The units as systemd judges them, and the rules as udev does, where it can."""
    exposure = {unit: security(machine, unit) for unit in ("kdumphpd.service", "kdumphpd-helper@1.service")}
    result.verdict = ", ".join(f"{unit} {level}" for unit, level in exposure.items())
    assert exposure["kdumphpd.service"] <= 1.0
    # 2.5 with PrivateTmp=, which can't be had: see the unit.
    assert exposure["kdumphpd-helper@1.service"] <= 2.6
    verified = machine.run(f"systemd-analyze verify --man=no {UNITS}", timeout=120)
    assert "kdumphpd" not in verified.stdout + verified.stderr
    if machine.run("udevadm verify --help", check=False).returncode == 0:
        machine.run("udevadm verify /usr/lib/kdumphpd/udev/*.rules")
    assert not warnings(machine)


@pytest.mark.guests("debian13")
def test_autopkgtest(machine: Machine, result: Result) -> None:
    """debian/tests/service, which needs a machine of its own, in one."""
    script = (Path(__file__).parents[2] / "packaging/debian/tests/service").read_text()
    machine.write_file("/run/service", script)
    machine.run("sh /run/service", timeout=300)
    result.verdict = "passed"


def security(machine: Machine, unit: str) -> float:
    """systemd's figure of what a unit may do: 0 is nothing, 10 is everything."""
    said = machine.run(f"systemd-analyze security --no-pager {unit}", timeout=120).stdout
    (level,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", said)
    return float(level)
