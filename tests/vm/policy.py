# SPDX-License-Identifier: GPL-2.0-or-later
"""SELinux's policy in a guest: our module, compiled and loaded there, and what was denied."""

import re
from pathlib import Path

from tests.vm import cache, journal
from tests.vm.qemu import Machine
from tests.vm.snapshot import Snapshot, derived

SOURCES = Path(__file__).parents[2] / "packaging/selinux"

FOLDER = "/root/kdumphpd-selinux"

# As the -selinux package and its scriptlet do it.
LOAD = f"""
set -e
cd {FOLDER}
make -f /usr/share/selinux/devel/Makefile kdumphpd.pp
semodule -i kdumphpd.pp
! semodule -l | grep -qx kdumphpd && exit 1
rm -r {FOLDER}
"""
SLOW_S = 600.0  # the whole policy is compiled, in an emulated guest

DENIED = re.compile(r"avc:\s+denied\s.* scontext=(?P<source>\S+) tcontext=(?P<target>\S+)")

# Domains of Debian's policy in which nothing of ours runs, and which are denied something with us and without us.
FOREIGN = ("semanage_t", "syslogd_t", "systemd_generator_t", "systemd_sysusers_t", "systemd_tmpfiles_t", "udev_t")


def with_module(base: Snapshot) -> Snapshot:
    """Return `base` with our module loaded, made again when the module changes; it outlives the checkout."""
    files = {path.name: path.read_text() for path in sorted(SOURCES.glob("kdumphpd.*"))}

    def prepare(machine: Machine) -> None:
        for name, text in files.items():
            machine.write_file(f"{FOLDER}/{name}", text)
        machine.run(LOAD, timeout=SLOW_S)

    return derived(base, cache.cache_root() / "policy", cache.key(LOAD, *files.items()), None, prepare)


def denials(machine: Machine) -> list[str]:
    """What SELinux has denied since the boot to us, or to others about us; in the kernel's and in systemd's words."""
    found = []
    for line in journal.read(machine, "--grep 'avc:.*denied'"):
        said = DENIED.search(line)
        if said and ("kdumphpd" in line or said["source"].split(":")[2] not in FOREIGN):
            found.append(line)
    return found
