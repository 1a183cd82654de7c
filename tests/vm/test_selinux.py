# SPDX-License-Identifier: GPL-2.0-or-later
"""SELinux in force: the main job passes with no denial, under the system's policy alone and with our module in it.

The scenarios are those of debian13 once more. Under Debian's own policy all of ours runs as whatever systemd starts
without a domain of its own; with packaging/selinux, listener and helper are confined.
"""

from collections.abc import Iterator

import pytest

from tests.vm import kdump, policy, snapshot, test_ground_truth, test_main_job, test_package, test_rule
from tests.vm.payload import Payload
from tests.vm.qemu import Machine
from tests.vm.results import Result
from tests.vm.snapshot import Snapshot

STOCK, MODULE = "stock", "module"

# Of the session, for what is made once depends on it: a machine with the module, and one without.
in_both_forms = pytest.mark.parametrize("form", [STOCK, MODULE], scope="session")
with_module = pytest.mark.parametrize("form", [MODULE], scope="session")
without_module = pytest.mark.parametrize("form", [STOCK], scope="session")
guest = pytest.mark.guests("debian13-selinux")
long = pytest.mark.long


@pytest.fixture(scope="session")
def booted(booted: Snapshot, form: str) -> Snapshot:
    """The guest after its boot, in module form with our module loaded."""
    return booted if form == STOCK else snapshot.twice(lambda: policy.with_module(booted))


@pytest.fixture(scope="session")
def enclosed(tmp_path_factory: pytest.TempPathFactory) -> Payload:
    return test_package.repositories(tmp_path_factory.mktemp("repositories"))


@pytest.fixture(autouse=True)
def no_denials(request: pytest.FixtureRequest, form: str) -> Iterator[None]:
    """Whatever the scenario does: in the end SELinux is in force and has denied nothing since it began."""
    machine: Machine = request.getfixturevalue("machine" if "machine" in request.fixturenames else "bare")
    result: Result = request.getfixturevalue("result")
    result.name = f"{result.name.removesuffix(f'-{form}')}-{form}"
    before = len(policy.denials(machine))
    yield
    assert machine.read_file("/sys/fs/selinux/enforce") == "1"
    denied = policy.denials(machine)[before:]
    assert not denied, "\n".join(denied)


def contexts(machine: Machine, command: str) -> str:
    return machine.run(command).stdout


@guest
@with_module
def test_selinux_load_once(machine: Machine, result: Result, form: str) -> None:
    """The main job with our module, the one scenario of these for every change: all is where the policy has it."""
    domains = contexts(machine, "ps -C kdumphpd -o label=")
    assert ":kdumphpd_t:" in domains
    assert ":kdumphpd_helper_exec_t:" in contexts(machine, "ls -Z /usr/libexec/kdumphpd/helper")
    assert ":kdumphpd_runtime_t:" in contexts(machine, "ls -Zd /run/kdumphpd /run/kdumphpd/state.json | sort -u")
    assert contexts(machine, "ls -Zd /run/kdumphpd-helper* /run/kdumphpd-helper/*").count("kdumphpd_helper_runtime_t")
    test_main_job.test_load_once(machine, result)


@long
@guest
@in_both_forms
def test_selinux_file_memory(machine: Machine, result: Result, form: str) -> None:
    """The kernel updates an image of kexec_file_load, and it is read."""
    test_main_job.test_file_memory(machine, result)


@long
@guest
@without_module
def test_selinux_load_once_stock(machine: Machine, result: Result, form: str) -> None:
    """The image is reloaded once, so that the kernel may update it."""
    test_main_job.test_load_once(machine, result)


@long
@guest
@in_both_forms
def test_selinux_remove(machine: Machine, result: Result, form: str) -> None:
    """A DIMM is removed, and the image is loaded without it."""
    test_ground_truth.test_remove(machine, result)


@long
@guest
@in_both_forms
def test_selinux_kill_listener(machine: Machine, result: Result, form: str) -> None:
    """The listener is killed while memory is plugged, and its successor finds what has changed."""
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c")
    machine.run("systemctl kill -s KILL --kill-whom=main kdumphpd")
    machine.add_memory(1024)
    machine.wait_until("[ $(ls -d /sys/devices/system/memory/memory* | wc -l) = 16 ]")
    kdump.online_memory(machine)
    machine.wait_until("systemctl is-active -q kdumphpd")
    kdump.wait_settled(machine)
    after = kdump.wait_checked(machine)
    [(first, last)] = kdump.dimms(machine)
    assert kdump.image_has(machine, first, last)
    result.load, result.reloads, result.verdict = "-c", after.reloads, kdump.inspect(machine)["verdict"]["state"]
    assert machine.run("systemctl show -P NRestarts kdumphpd").stdout.strip() == "1"


@long
@guest
@in_both_forms
def test_selinux_rule(machine: Machine, result: Result, form: str) -> None:
    """The udev rule is masked and comes back."""
    test_rule.test_rule(machine, result)


@long
@guest
@in_both_forms
def test_selinux_package_life(bare: Machine, result: Result, form: str) -> None:
    """The package is installed, upgraded, removed amid a reload, and purged."""
    test_package.test_package_life(bare, result)
