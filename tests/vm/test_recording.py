# SPDX-License-Identifier: GPL-2.0-or-later
"""A loader whose own reload takes ten seconds is asked what it would load, and an image stays loaded meanwhile."""

import pytest

from tests.vm import inside, journal, kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result
from tests.vm.test_loaders import UNSAFE, settings, use_kdumpctl, use_suse

LOADED = "kexec: loaded kdump kernel"
LOCK = "/run/lock/kdump"
NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"


def see_it_recorded(machine: Machine, result: Result, loader: str) -> None:
    """Start on an image that is unsafe and that the kernel may not touch: one gap, and it is neither any more."""
    assert kdump.crash_hotplug(machine) == ("0", "0")
    with inside.sampling(machine) as seen:
        machine.run("systemctl start kdumphpd")
        before = kdump.wait_checked(machine)
        machine.add_memory(1024)
        after = kdump.wait_handled(machine, before, events=16)
    assert seen.gaps == 1
    assert before.reloads == after.reloads == 1
    *_, reload = kdump.reloads(machine)
    assert (reload["KDUMPHPD_LOADER"], reload["KDUMPHPD_METHOD"]) == (loader, "kexec -c --hotplug")
    found = kdump.inspect(machine)
    assert found["verdict"]["state"] == "current"
    assert f"{UNSAFE} acpi_no_memhotplug" in found["image"]["command_line"]
    assert kdump.crash_hotplug(machine) == ("1", "1")
    kdump.record(result, kdump.NOTHING, after, load=loader, verdict="current")


@pytest.mark.guests("debian13")
def test_recorded_kdumpctl(machine: Machine, result: Result) -> None:
    """Fedora's and RHEL's, while an ordinary user holds the lock that kdumpctl waits for."""
    use_kdumpctl(machine)
    settings(machine, "KEXEC_ARGS=-c", command_line=UNSAFE)
    machine.run("systemctl restart kdump", timeout=120)
    machine.start(f"exec {NOBODY} flock {LOCK} sleep 86400")
    machine.wait_until(f"! flock -n {LOCK} true")
    see_it_recorded(machine, result, "kdumpctl")
    assert journal.count(machine, journal.HELPER, f"{LOCK} has been held for 5 s by another process") == 1


@pytest.mark.guests("debian13")
def test_recorded_suse(machine: Machine, result: Result) -> None:
    """openSUSE's and SLES'."""
    use_suse(machine)
    settings(machine, "KEXEC_OPTIONS=-c", command_line=UNSAFE)
    machine.run("systemctl restart kdump", timeout=120)
    see_it_recorded(machine, result, "suse")
    # Asked, it copied its rule to where nobody sees it: none was taken back but the one that was there at the start.
    assert journal.count(machine, "-u kdumphpd", "/run/udev/rules.d was written") == 0
    assert journal.count(machine, "-u kdumphpd-rules", "Finished") <= 1


@pytest.mark.guests("debian13")
def test_recording_fails(machine: Machine, result: Result) -> None:
    """A loader with a kexec of its own loads when it is asked: that happens once, and its own reload is run."""
    use_kdumpctl(machine)
    machine.run("cp /usr/sbin/kexec /usr/local/bin/kexec; hash -r; systemctl restart kdump", timeout=120)
    machine.write_file("/etc/kdumphpd.toml.d/scenario.toml", kdump.AS_LOADED)
    loads = journal.count(machine, "-t kdumpctl", LOADED)
    machine.run("systemctl start kdumphpd")
    kdump.wait_checked(machine)
    machine.wait_until("test -e /run/kdumphpd-helper/unaskable", timeout=120)  # asked after the answer
    machine.wait_until("[ $(systemctl show -P ActiveState kdumphpd-record) != activating ]", timeout=120)
    before = kdump.wait_checked(machine)
    assert kdump.loaded(machine)
    machine.add_memory(1024)
    after = kdump.wait_current(machine, before, events=16)
    assert journal.count(machine, "-t kdumpctl", LOADED) == loads + 2  # when it was asked, and its own reload
    *_, reload = kdump.reloads(machine)
    assert (reload["KDUMPHPD_LOADER"], reload["KDUMPHPD_METHOD"]) == ("kdumpctl", "/usr/bin/kdumpctl reload")
    assert journal.count(machine, journal.HELPER, "kdumpctl took the image down") == 1
    assert journal.count(machine, journal.HELPER, "kdumpctl did not say what it would load, so it has to load itself")
    [(first, last)] = kdump.dimms(machine)
    assert kdump.image_has(machine, first, last)
    kdump.record(result, before, after, load="kdumpctl reload", verdict=kdump.inspect(machine)["verdict"]["state"])
    assert result.verdict == "current"


@pytest.mark.long
@pytest.mark.guests("debian13")
def test_initrd_due(machine: Machine, result: Result) -> None:
    """The loader finds that its initrd is due and builds it for 150 s: an image is loaded all the time."""
    use_kdumpctl(machine)
    machine.run("touch /etc/kdump.conf")
    machine.write_file("/etc/kdumphpd.toml.d/scenario.toml", kdump.AS_LOADED)
    with inside.sampling(machine) as building:
        machine.run("systemctl start kdumphpd")
        machine.wait_until("journalctl -q -b -t kdumpctl | grep -q Rebuilding", timeout=60)
        machine.add_memory(1024)
        machine.wait_until("[ $(systemctl show -P ActiveState kdumphpd-record) = inactive ]", timeout=300)
    assert building.gaps == 0
    before = kdump.NOTHING
    with inside.sampling(machine) as loading:
        after = kdump.wait_current(machine, before, events=16)
    assert (loading.gaps, after.reloads) == (1, 1)
    assert journal.count(machine, "-t kdumpctl", "Rebuilding") == 1
    kdump.record(result, before, after, load="kdumpctl", verdict=kdump.inspect(machine)["verdict"]["state"])
    assert result.verdict == "current"
