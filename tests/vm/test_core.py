# SPDX-License-Identifier: GPL-2.0-or-later
"""What nobody else may hold, break or hide: locks, systemd, memory, the image itself."""

import pytest

from tests.vm import inside, journal, kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

# An ordinary user who holds whatever can be had: a lock on every file that can be opened, and every socket.
HOLDER = """
import fcntl, os, pathlib, socket, stat, time
held, refused = [], []
for top in ("/run", "/var/crash", "/var/lib/kdump", "/tmp"):
    for folder, _, names in os.walk(top):
        for path in (os.path.join(folder, name) for name in names):
            try:
                if stat.S_ISSOCK(os.stat(path).st_mode):
                    here = socket.socket(socket.AF_UNIX)
                    here.settimeout(1)
                    here.connect(path)
                else:
                    here = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                    fcntl.flock(here, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held.append((path, here))
            except OSError:
                refused.append(path)
pathlib.Path("/tmp/held").write_text("\\n".join(path for path, _ in held))
time.sleep(86400)
"""


@pytest.mark.guests("debian12")
def test_local_user(machine: Machine, result: Result) -> None:
    """An ordinary user holds every lock, file and connection that can be had, and memory gets into the image."""
    machine.write_file("/usr/local/lib/holder.py", HOLDER)
    machine.start("exec setpriv --reuid 65534 --regid 65534 --clear-groups python3 /usr/local/lib/holder.py")
    machine.wait_until("test -s /tmp/held")
    held = machine.read_file("/tmp/held").splitlines()
    assert "/run/kdumphpd-helper/record.json" in held  # it may be read, and nothing waits for a lock on it
    assert not [path for path in held if path in ("/run/kdumphpd-helper/lock", "/run/kdumphpd-helper.socket")]
    before = kdump.seen(machine)
    kdump.grow(machine)
    after = kdump.wait_current(machine, before, events=2)
    assert after.reloads == before.reloads + 1
    kdump.record(result, before, after, load="kdump-tools", verdict=f"current, with {len(held)} files held")


# The first load eats more memory than its control group has.
HUNGRY = """#!/bin/sh
case " $* " in
    *" -p "*) [ ! -e /run/hungry ] || { rm /run/hungry; exec python3 -c 'b"x" * (300 << 20)'; } ;;
esac
exec /usr/sbin/kexec.real "$@"
"""


def replace_kexec(machine: Machine, script: str) -> None:
    machine.run("mv /usr/sbin/kexec /usr/sbin/kexec.real")
    machine.write_file("/usr/sbin/kexec", script, 0o755)


@pytest.mark.guests("debian12")
def test_oom(machine: Machine, result: Result) -> None:
    """kexec is killed by the kernel for want of memory: the helper goes on, and the image is right."""
    replace_kexec(machine, HUNGRY)
    limits = "[Service]\nMemoryMax=160M\nMemorySwapMax=0\n"
    machine.write_file("/run/systemd/system/kdumphpd-helper@.service.d/limit.conf", limits)
    machine.run("systemctl daemon-reload; touch /run/hungry")
    before = kdump.seen(machine)
    kdump.grow(machine)
    after = kdump.wait_current(machine, before, events=2)
    assert journal.count(machine, "-k", "Memory cgroup out of memory") == 1
    assert journal.count(machine, journal.HELPER, "failed with status -9: it said nothing; trying again") == 1
    assert after.failures == before.failures
    kdump.record(result, before, after, load="kdump-tools", verdict="current")


@pytest.mark.guests("debian13")
def test_replaced_by_operator(machine: Machine, result: Result) -> None:
    """An image of kdump-tools' own, which the kernel may not touch, is noticed and reloaded once."""
    before = kdump.seen(machine)
    machine.run("systemctl restart kdump-tools", timeout=120)
    once = kdump.wait_reloaded(machine, before)
    assert once.events == before.events
    assert kdump.crash_hotplug(machine) == ("1", "1")
    said = journal.read(machine, "-u kdumphpd")
    # Which of the two is seen first is a matter of moments: its start, or what it loads seconds later.
    seen_by = ("kdump-tools.service was started", "an image was loaded by somebody else")
    assert any(line.startswith(tuple(f"{why}: reloaded the kdump image in" for why in seen_by)) for line in said)
    machine.add_memory(1024)
    after = kdump.wait_handled(machine, once, events=16)
    assert after.reloads == once.reloads == before.reloads + 1
    kdump.record(result, before, after, load="kdump-tools", verdict=kdump.inspect(machine)["verdict"]["state"])
    assert result.verdict == "current"


@pytest.mark.guests("debian12")
def test_systemd_silent(machine: Machine, result: Result) -> None:
    """systemd does not answer during a reload: that is no reason to unload, and none to load twice."""
    machine.write_file("/run/silent", "#!/bin/sh\nexit 1\n", 0o755)
    silent = "[Service]\nBindReadOnlyPaths=/run/silent:/usr/bin/systemctl\n"
    machine.write_file("/run/systemd/system/kdumphpd-helper@.service.d/silent.conf", silent)
    machine.run("systemctl daemon-reload")
    before = kdump.seen(machine)
    with inside.sampling(machine) as seen:
        kdump.grow(machine)
        after = kdump.wait_current(machine, before, events=2)
    assert kdump.loaded(machine)
    assert (after.reloads, seen.gaps) == (before.reloads + 1, 1)
    kdump.record(result, before, after, load="kdump-tools", verdict="current")


@pytest.mark.guests("debian12")
def test_pending_at_once(machine: Machine, result: Result) -> None:
    """The helper is killed while no image is loaded, and events go on: an image is back before they settle."""
    kdump.plug_offline(machine, 16)
    kdump.configure(machine, '[events]\nmax_delay = 600\n[reload]\nsyscall = "file"\nmax_unprotected = 1\n')
    inside.install(machine)
    killer = inside.start_killer(machine, "helper", "gap", 0.2, 0.0)
    half = f"for s in $(grep -Lx online {kdump.BLOCKS}/state | head -8); do echo online_movable > $s; done"
    machine.run(half)
    assert inside.killed(killer, 120)["gap"]
    burst = machine.start(
        f"for s in $(grep -Lx online {kdump.BLOCKS}/state); do echo online > $s; sleep 0.8; done; "
        "for i in $(seq 99); do for w in offline online_movable; do "
        f"echo $w > {kdump.BLOCKS.replace('*', '')}$(ls -d {kdump.BLOCKS} | wc -l | "
        "awk '{print $1+15}')/state 2>&-; sleep 0.8; done; done"
    )
    machine.wait_until(f'[ "$({kdump.LOADED})" = 1 ]', timeout=60)
    assert kdump.seen(machine).burst
    burst.stop()
    kdump.wait_settled(machine)
    result.load, result.verdict = "kdump-tools", "an image was loaded while events went on"


HIDE = "rm -f /run/kdumphpd-helper/layout.json; sysctl -w kernel.kptr_restrict=2"


@pytest.mark.guests("debian13")
def test_removed_unreadable(machine: Machine, result: Result) -> None:
    """A DIMM is removed and the image can't be read: the kernel reports that it updates it, and leaves it in."""
    machine.run("echo online_movable > /sys/devices/system/memory/auto_online_blocks")
    machine.run(HIDE)
    before = kdump.seen(machine)
    dimm = machine.add_memory(1024)
    grown = kdump.wait_handled(machine, before, events=16)
    assert "the kernel updated the kdump image (the loaded image cannot be read: " in grown.sentence
    assert grown.reloads == before.reloads
    machine.remove_memory(dimm)
    after = kdump.wait_handled(machine, grown, events=16)
    assert after.reloads == before.reloads + 1
    assert "1 GiB of memory was removed since the image was loaded" in after.sentence
    kdump.record(result, before, after, load="kdump-tools", verdict="unreadable")


@pytest.mark.guests("debian12")
def test_unreadable_quiet(machine: Machine, result: Result) -> None:
    """The image can't be read, and the kernel updates nothing: a restart and a CPU offlined cost no reload."""
    before = kdump.seen(machine)
    kdump.plug_cpu(machine)
    kdump.wait_handled(machine, before)
    machine.run(f"{HIDE}; systemctl restart kdumphpd")
    start = kdump.wait_checked(machine)
    assert start.last_check["outcome"] == "current"
    assert "kptr_restrict is 2" in start.last_check["detail"]
    machine.run("echo 0 > /sys/devices/system/cpu/cpu1/online")
    after = kdump.wait_handled(machine, start)
    assert after.reloads == 0
    kdump.record(result, start, after, load="kdump-tools", verdict="unreadable")


@pytest.mark.guests("debian12")
def test_umask(machine: Machine, result: Result) -> None:
    """A drop-in that only root can read is in force, also for a daemon that is started again."""
    machine.run(
        "mkdir -p -m 0700 /etc/kdumphpd.toml.d; umask 077; echo '[verify]\nimage = \"never\"' > "
        "/etc/kdumphpd.toml.d/hardened.toml; systemctl restart kdumphpd"
    )
    after = kdump.wait_checked(machine)
    assert 'verify.image is "never"' in after.last_check["detail"]
    assert after.healthy
    result.verdict = "in force"


# Takes the image down and fails.
BROKEN = """#!/bin/sh
case " $* " in
    *" -p "*" -u "* | *" -u "*" -p "*) ;;
    *" -p "*) /usr/sbin/kexec.real -p -u; echo broken; exit 1 ;;
esac
exec /usr/sbin/kexec.real "$@"
"""


@pytest.mark.guests("debian12")
def test_stopped_meanwhile(machine: Machine, result: Result) -> None:
    """A reload has failed and left nothing; the operator stops the unit: nothing is loaded after that."""
    replace_kexec(machine, BROKEN)
    before = kdump.seen(machine)
    kdump.grow(machine)
    failed = kdump.wait_failed(machine, before)
    assert not kdump.loaded(machine)
    assert "UNPROTECTED: no kdump image is loaded" in failed.sentence
    assert machine.run("kdumphpctl status", check=False).returncode == 1
    machine.run("systemctl stop kdump-tools; mv /usr/sbin/kexec.real /usr/sbin/kexec", timeout=120)
    machine.wait_until("grep -q '\"pending\":null' /run/kdumphpd-helper/record.json")
    after = kdump.wait_checked(machine, failed)
    assert not kdump.loaded(machine)
    assert (after.pending, after.reloads) == (False, before.reloads)
    assert machine.run("kdumphpctl rearm", check=False).returncode == 3
    assert machine.run("kdumphpctl status", check=False).returncode == 3
    kdump.record(result, before, after, load="kdump-tools", verdict="not loaded")


@pytest.mark.guests("debian13")
def test_kexec_disabled(machine: Machine, result: Result) -> None:
    """A kernel that loads nothing any more: said once, with what changes that, and the image stays."""
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c")
    machine.run("sysctl -w kernel.kexec_load_disabled=1")
    before = kdump.seen(machine)
    with inside.sampling(machine) as seen:
        machine.add_memory(128)
        failed = kdump.wait_failed(machine, before)
        machine.add_memory(128)
        after = kdump.wait_handled(machine, failed, events=2)
    assert seen.unprotected == 0
    assert "kernel.kexec_load_disabled is 1" in failed.sentence
    assert "trying again" not in failed.sentence
    assert not after.healthy
    assert len(journal.read(machine, "-u kdumphpd -p err")) == 1
    kdump.record(result, before, after, load="-c", verdict="stale, and said")


@pytest.mark.guests("debian13")
def test_load_limit(machine: Machine, result: Result) -> None:
    """One more load is permitted: it is spent on a method that needs no other."""
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c")
    machine.run("sysctl -w kernel.kexec_load_limit_panic=1")
    before = kdump.seen(machine)
    machine.add_memory(128)
    once = kdump.wait_current(machine, before, events=2)
    assert machine.run("sysctl -n kernel.kexec_load_limit_panic").stdout.strip() == "0"
    machine.add_memory(128)
    after = kdump.wait_current(machine, once, events=2)  # by the kernel, from then on
    assert after.reloads == before.reloads + 1
    kdump.record(result, before, after, load="-c", verdict="current")
