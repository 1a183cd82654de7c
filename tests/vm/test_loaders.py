# SPDX-License-Identifier: GPL-2.0-or-later
"""Each distribution's own means on a real kernel: found by "auto", one reload a burst, its udev rule stood in for.

Fedora's kdumpctl and openSUSE's load.sh are stood for by scripts of ours (tests/vm/fakes) that keep what those
promise, and load for real.
"""

from pathlib import Path

import pytest

from tests.vm import inside, journal, kdump
from tests.vm.kdump import Seen
from tests.vm.qemu import Machine
from tests.vm.results import Result
from tests.vm.test_kills import SAFE, SILENT

FAKES = Path(__file__).parent / "fakes"

SETTINGS = "/etc/sysconfig/kdump"
UNSAFE = "root=/dev/vda console=ttyS0 systemd.unit=kdump-tools-dump.service nr_cpus=1"
COMMAND_LINE = f"{UNSAFE} acpi_no_memhotplug"

FEDORA_RULE = "98-kexec.rules"
SUSE_RULE = "/run/udev/rules.d/70-kdump.rules"
SUSE_ORIGINAL = "/usr/lib/kdump/70-kdump.rules"
OURS = "/usr/lib/kdumphpd/udev"


def install(machine: Machine, family: str, folders: dict[str, str]) -> None:
    """Put a family's files of tests/vm/fakes into the guest, in the place of kdump-tools."""
    machine.run("systemctl stop kdumphpd; systemctl disable --now kdump-tools", timeout=120)
    machine.run("mv /usr/sbin/kdump-config /usr/sbin/kdump-config.aside")
    for name, folder in folders.items():
        machine.write_file(f"{folder}/{name}", (FAKES / family / name).read_bytes(), mode=_mode(name))
    machine.run("systemctl daemon-reload; udevadm control --reload")


def _mode(name: str) -> int:
    return 0o644 if name.endswith((".service", ".rules")) else 0o755


def settings(machine: Machine, *lines: str, command_line: str = COMMAND_LINE) -> None:
    machine.write_file(SETTINGS, "\n".join([f'KDUMP_COMMANDLINE="{command_line}"', *lines, ""]))


def use_kdumpctl(machine: Machine) -> None:
    """A Fedora, with an image that the kernel may not touch."""
    machine.run("cp -L /var/lib/kdump/initrd.img /boot/initramfs-$(uname -r)kdump.img")
    units = "/usr/lib/systemd/system"
    places = {"kdumpctl": "/usr/bin", "kdump.service": units, FEDORA_RULE: "/usr/lib/udev/rules.d"}
    install(machine, "fedora", places)
    machine.run("touch -d yesterday /etc/kdump.conf")
    settings(machine, "KEXEC_ARGS=-c")
    machine.run("systemctl enable --now kdump", timeout=120)


def use_suse(machine: Machine) -> None:
    """An openSUSE, with an image that the kernel may not touch."""
    machine.run("cd /var/lib/kdump; cp -L initrd.img initrd; ln -sf $(readlink -f vmlinuz) kernel")
    places = dict.fromkeys(("load.sh", "unload.sh", "70-kdump.rules"), "/usr/lib/kdump")
    install(machine, "suse", places | {"kdump.service": "/usr/lib/systemd/system"})
    settings(machine, "KEXEC_OPTIONS=-c")
    machine.run("systemctl enable --now kdump", timeout=120)


def plug_and_see_one_reload(machine: Machine, loader: str) -> tuple[Seen, Seen, str]:
    """Start kdumphpd on an image that the kernel may not touch, and plug memory; what it counted, and the verdict."""
    assert kdump.crash_hotplug(machine) == ("0", "0")
    machine.write_file("/etc/kdumphpd.toml.d/scenario.toml", kdump.AS_LOADED)
    machine.run("systemctl start kdumphpd")
    before = kdump.wait_checked(machine)
    assert before.reloads == 0
    machine.add_memory(1024)
    after = kdump.wait_handled(machine, before, events=16)
    assert after.reloads == 1
    *_, reload = kdump.reloads(machine)
    assert reload["KDUMPHPD_LOADER"] == loader
    [(first, last)] = kdump.dimms(machine)
    assert kdump.image_has(machine, first, last)
    return before, after, kdump.inspect(machine)["verdict"]["state"]


@pytest.mark.guests("debian13")
def test_loader_kdumpctl(machine: Machine, result: Result) -> None:
    """Fedora's and RHEL's: kdumpctl reload, under its own lock, with /boot as these distributions have it."""
    use_kdumpctl(machine)
    machine.run("chmod 0555 /boot")
    settings(machine, "KEXEC_ARGS=-s")

    before, after, verdict = plug_and_see_one_reload(machine, "kdumpctl")
    assert journal.read(machine, "-t kdumpctl")[-4:] == [
        "kexec: unloaded kdump kernel",
        "Stopping kdump: [OK]",
        "kexec: loaded kdump kernel",
        "Starting kdump: [OK]",
    ]
    kdump.record(result, before, after, load="kdumpctl", verdict=verdict)
    assert verdict == "current"

    stock = f"/usr/lib/udev/rules.d/{FEDORA_RULE}"
    assert kdump.rule_in_force(machine, FEDORA_RULE) == f"{OURS}/{FEDORA_RULE}"
    machine.run("systemctl stop kdumphpd")
    assert kdump.rule_in_force(machine, FEDORA_RULE) == stock
    machine.run("systemctl start kdumphpd")
    assert kdump.rule_in_force(machine, FEDORA_RULE) == f"{OURS}/{FEDORA_RULE}"
    kdump.kill_for_good(machine)
    assert kdump.rule_in_force(machine, FEDORA_RULE) == stock


@pytest.mark.guests("debian13")
def test_loader_suse(machine: Machine, result: Result) -> None:
    """openSUSE's and SLES': load.sh over the old image; its rule comes back at every load, and goes again."""
    use_suse(machine)
    settings(machine, "KEXEC_OPTIONS=-a")
    machine.run(f"cmp {SUSE_RULE} {SUSE_ORIGINAL}")
    ours = machine.run(f"sha256sum {OURS}/* {SUSE_ORIGINAL}").stdout

    before, after, verdict = plug_and_see_one_reload(machine, "suse")
    kdump.record(result, before, after, load="load.sh", verdict=verdict)
    assert verdict == "current"

    # Ours has loaded, and so has an operator: each time the rule was back.
    machine.wait_until(f"! test -e {SUSE_RULE}")
    for _ in range(2):
        machine.run("/usr/lib/kdump/load.sh", timeout=120)
        machine.wait_until(f"! test -e {SUSE_RULE}")

    machine.run("systemctl stop kdumphpd")
    machine.run(f"cmp {SUSE_RULE} {SUSE_ORIGINAL} && ! test -L {SUSE_RULE}")
    machine.run("! systemctl is-active kdumphpd-rules.path")
    machine.run("systemctl start kdumphpd")
    machine.run(f"! test -e {SUSE_RULE}")

    # Killed and started again, it goes on watching.
    machine.run("systemctl kill -s KILL --kill-whom=main kdumphpd")
    machine.wait_until("[ $(systemctl show -P NRestarts kdumphpd) = 1 ] && systemctl is-active -q kdumphpd")
    machine.run(f"! test -e {SUSE_RULE}")
    machine.run("/usr/lib/kdump/load.sh", timeout=120)
    machine.wait_until(f"! test -e {SUSE_RULE}")

    kdump.kill_for_good(machine)
    machine.wait_until("! systemctl is-active -q kdumphpd-rules.path kdumphpd-rules.service")
    machine.run(f"cmp {SUSE_RULE} {SUSE_ORIGINAL}")
    machine.run("/usr/lib/kdump/load.sh", timeout=120)
    machine.run(f"cmp {SUSE_RULE} {SUSE_ORIGINAL}")
    failed = machine.run("systemctl --failed --no-legend --plain | cut -d' ' -f1").stdout.split()
    assert set(failed) - {"kdumphpd-check.service"} == {"kdumphpd.service"}  # the check says the same
    assert machine.run(f"sha256sum {OURS}/* {SUSE_ORIGINAL}").stdout == ours


@pytest.mark.guests("debian12", "debian13")
def test_recorded_kdump_tools(machine: Machine, result: Result) -> None:
    """Debian's and Ubuntu's: the command that kdump-config says it would run, else its own reload."""
    knows_hotplug = "absent" not in kdump.crash_hotplug(machine)

    def plug(before: Seen) -> Seen:
        dimm = len(kdump.dimms(machine))
        machine.add_memory(1024)
        machine.wait_until(f"[ $(ls -d /sys/devices/system/memory/memory* | wc -l) = {16 + 8 * dimm} ]")
        kdump.online_memory(machine)
        return kdump.wait_reloaded(machine, before)

    kdump.configure(machine, kdump.AS_LOADED)
    machine.run(f"echo '{SAFE}' >> /etc/default/kdump-tools")
    kdump.load(machine, "-c")
    before = kdump.seen(machine)
    with inside.sampling(machine) as seen:
        once = plug(before)
    assert seen.gaps == 1
    kdump.load(machine, "-c")
    machine.run(SILENT)
    after = plug(once)
    done = [(row["KDUMPHPD_LOADER"], row["KDUMPHPD_METHOD"]) for row in kdump.reloads(machine)[-2:]]
    direct = "kexec -c --hotplug" if knows_hotplug else "kexec -c"
    assert done == [("kdump-tools", direct), ("kdump-tools", "/usr/sbin/kdump-config reload")]
    assert after.reloads == before.reloads + 2
    for first, last in kdump.dimms(machine):
        assert kdump.image_has(machine, first, last)
    verdict = kdump.inspect(machine)["verdict"]["state"]
    kdump.record(result, before, after, load="kdump-tools", verdict=verdict)
    assert verdict == "current"
