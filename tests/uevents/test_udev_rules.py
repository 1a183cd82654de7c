# SPDX-License-Identifier: GPL-2.0-or-later
"""udev/udev-rules at its real paths, in a mount namespace of its own."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.uevents.namespace import in_namespace, mount, mount_tmpfs

SOURCE = Path(__file__).parents[2] / "udev"
RULE = "50-kdump-tools.rules"
OURS = Path("/usr/lib/kdumphpd/udev") / RULE
LINK = Path("/run/udev/rules.d") / RULE


def install() -> None:
    """Our rules where packages put them, over this machine's /usr/lib, and an empty /run and /etc."""
    mount_tmpfs("/run")
    for folder in ("upper", "work"):
        (Path("/run") / folder).mkdir()
    try:
        mount("overlay", "/usr/lib", "lowerdir=/usr/lib,upperdir=/run/upper,workdir=/run/work")
    except OSError as error:
        pytest.skip(f"no overlay can be mounted in a namespace here: {error}")
    OURS.parent.mkdir(parents=True)
    OURS.write_bytes((SOURCE / RULE).read_bytes())
    etc = Path("/etc/udev/rules.d")
    mount_tmpfs("/etc")
    etc.mkdir(parents=True)


def udev_rules(*words: str) -> subprocess.CompletedProcess[str]:
    # udevd does not run in here, and the script says so without failing.
    environment = {"PATH": os.environ["PATH"]}
    command = ["sh", str(SOURCE / "udev-rules"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@in_namespace
def test_masking_puts_our_rule_before_the_distributions_and_unmasking_takes_it_away() -> None:
    install()
    assert udev_rules("mask").returncode == 0
    assert LINK.readlink() == OURS
    assert "stands in for" in LINK.read_text()
    assert udev_rules("unmask").returncode == 0
    assert not LINK.is_symlink()


@in_namespace
def test_both_can_be_repeated() -> None:
    install()
    for _ in range(2):
        assert udev_rules("mask").returncode == 0
    assert LINK.readlink() == OURS
    for _ in range(2):
        assert udev_rules("unmask").returncode == 0
    assert not LINK.is_symlink()


@in_namespace
def test_somebody_elses_file_is_left_as_it_is_and_that_is_said() -> None:
    install()
    LINK.parent.mkdir(parents=True)
    LINK.write_text("# theirs\n")
    done = udev_rules("mask")
    assert done.returncode == 0
    assert "somebody else's file" in done.stderr
    assert udev_rules("unmask").returncode == 0
    assert LINK.read_text() == "# theirs\n"


@in_namespace
@pytest.mark.parametrize("target", ["/dev/null", "/etc/udev/theirs.rules"])
def test_somebody_elses_link_is_left_as_it_is(target: str) -> None:
    # An administrator masks a rule in just this way.
    install()
    LINK.parent.mkdir(parents=True)
    LINK.symlink_to(target)
    assert udev_rules("mask").returncode == 0
    assert udev_rules("unmask").returncode == 0
    assert LINK.readlink() == Path(target)


@in_namespace
def test_the_administrators_rule_of_that_name_is_pointed_out() -> None:
    install()
    (Path("/etc/udev/rules.d") / RULE).write_text("")
    assert "the administrator's rules win" in udev_rules("mask").stderr


@in_namespace
def test_anything_else_is_answered_with_the_usage() -> None:
    install()
    for words in ((), ("explode",)):
        done = udev_rules(*words)
        assert done.returncode == 2
        assert "mask|unmask" in done.stderr
    assert not LINK.is_symlink()
