# SPDX-License-Identifier: GPL-2.0-or-later
"""udev/udev-rules at its real paths, in a mount namespace of its own."""

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.uevents.namespace import in_namespace, mount, mount_tmpfs

SOURCE = Path(__file__).parents[2] / "udev"
RUNTIME = Path("/run/udev/rules.d")
LOCK = Path("/run/kdumphpd-rules.lock")
RULE = "50-kdump-tools.rules"
OURS = Path("/usr/lib/kdumphpd/udev") / RULE
LINK = RUNTIME / RULE

# Of every family whose rule is in /usr/lib.
RULES = ("50-kdump-tools.rules", "98-kexec.rules")

# openSUSE's, which load.sh copies.
ORIGINAL = Path("/usr/lib/kdump/70-kdump.rules")
COPY = RUNTIME / ORIGINAL.name


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
    for rule in SOURCE.glob("*.rules"):
        (OURS.parent / rule.name).write_bytes(rule.read_bytes())
    etc = Path("/etc/udev/rules.d")
    mount_tmpfs("/etc")
    etc.mkdir(parents=True)


def load_sh() -> None:
    """What a load of openSUSE's leaves behind: an image, and the rule."""
    (Path("/sys/kernel") / "kexec_crash_loaded").write_text("1\n")
    RUNTIME.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", ORIGINAL, COPY], check=True)


def install_suse() -> None:
    """Also openSUSE's kdump, with an image loaded."""
    install()
    ORIGINAL.parent.mkdir(exist_ok=True)
    ORIGINAL.write_text('SUBSYSTEM=="memory", RUN+="/usr/lib/kdump/load-once.sh"\n')
    mount_tmpfs("/sys/kernel")
    load_sh()


def udev_rules(*words: str) -> subprocess.CompletedProcess[str]:
    # udevd does not run in here, and the script says so without failing.
    environment = {"PATH": os.environ["PATH"]}
    command = ["sh", str(SOURCE / "udev-rules"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_rule_of_ours_does_nothing_but_stand_there() -> None:
    assert {path.name for path in SOURCE.glob("*.rules")} == set(RULES)
    for name in RULES:
        lines = (SOURCE / name).read_text().splitlines()
        assert all(line.startswith("#") for line in lines)
        assert any("stands in for" in line for line in lines)
        assert f"/usr/lib/udev/rules.d/{name}" in " ".join(lines)


@in_namespace
def test_masking_puts_our_rules_before_the_distributions_and_unmasking_takes_them_away() -> None:
    install()
    assert udev_rules("mask").returncode == 0
    assert {path.name: path.readlink() for path in RUNTIME.iterdir()} == {n: OURS.parent / n for n in RULES}
    assert "stands in for" in LINK.read_text()
    assert udev_rules("unmask").returncode == 0
    assert list(RUNTIME.iterdir()) == []


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
        assert "mask|again|unmask" in done.stderr
    assert not LINK.is_symlink()


# --- openSUSE's copy -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Another run of the script is under way."""
    with LOCK.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@in_namespace
def test_the_copy_of_load_sh_goes_and_is_put_back_as_it_was() -> None:
    install_suse()
    assert udev_rules("mask").returncode == 0
    assert not COPY.exists()
    assert udev_rules("unmask").returncode == 0
    assert not COPY.is_symlink()
    assert COPY.read_text() == ORIGINAL.read_text()


@in_namespace
def test_a_copy_that_comes_back_is_taken_away_again() -> None:
    install_suse()
    udev_rules("mask")
    for _ in range(2):
        load_sh()
        assert udev_rules("again").returncode == 0
        assert not COPY.exists()
    assert udev_rules("again").returncode == 0, "its own removal wakes it once more"


@in_namespace
def test_nobody_but_root_can_hold_the_lock() -> None:
    install()
    udev_rules("mask")
    assert LOCK.stat().st_mode & 0o777 == 0o600


@in_namespace
def test_a_copy_that_comes_back_after_we_have_gone_stays() -> None:
    # What unmask itself puts back wakes the path unit, too.
    install_suse()
    udev_rules("mask")
    udev_rules("unmask")
    assert udev_rules("again").returncode == 0
    assert COPY.exists()


@in_namespace
def test_what_comes_back_while_we_go_is_looked_at_when_we_have_gone() -> None:
    install_suse()
    udev_rules("mask")
    load_sh()
    with held():
        again = subprocess.Popen(["sh", str(SOURCE / "udev-rules"), "again"], stderr=subprocess.DEVNULL)
        LINK.unlink()  # as unmask does
        (RUNTIME / "98-kexec.rules").unlink()
    assert again.wait(30) == 0
    assert COPY.exists()


@in_namespace
def test_a_load_writes_into_no_file_of_ours() -> None:
    install_suse()
    before = {path: path.read_bytes() for path in OURS.parent.iterdir()}
    udev_rules("mask")
    load_sh()
    udev_rules("again")
    load_sh()
    udev_rules("unmask")
    assert {path: path.read_bytes() for path in OURS.parent.iterdir()} == before


@in_namespace
@pytest.mark.parametrize("armed", ["kexec/crash_loaded", "fadump/registered", "fadump_registered"])
def test_whatever_tells_of_an_image_has_the_copy_put_back(armed: str) -> None:
    install_suse()
    (Path("/sys/kernel") / "kexec_crash_loaded").unlink()
    path = Path("/sys/kernel") / armed
    path.parent.mkdir(exist_ok=True)
    path.write_text("1\n")
    udev_rules("mask")
    udev_rules("unmask")
    assert COPY.exists()


@in_namespace
def test_without_an_image_there_is_no_copy_as_after_unload_sh() -> None:
    install_suse()
    udev_rules("mask")
    (Path("/sys/kernel") / "kexec_crash_loaded").write_text("0\n")
    udev_rules("unmask")
    assert not COPY.exists()


@in_namespace
@pytest.mark.parametrize("text", ["# theirs\n", ""])
def test_somebody_elses_file_in_the_copys_place_is_left_as_it_is_and_that_is_said(text: str) -> None:
    install_suse()
    COPY.write_text(text)
    for word in ("mask", "again"):
        assert "not what load.sh puts there" in udev_rules(word).stderr
    udev_rules("unmask")
    assert COPY.read_text() == text


@in_namespace
@pytest.mark.parametrize("target", ["/dev/null", str(ORIGINAL), "/nowhere"])
def test_somebody_elses_link_in_the_copys_place_is_left_as_it_is(target: str) -> None:
    install_suse()
    COPY.unlink()
    COPY.symlink_to(target)
    for word in ("mask", "again", "unmask"):
        assert udev_rules(word).returncode == 0
    assert COPY.readlink() == Path(target)
    assert "load-once.sh" in ORIGINAL.read_text()


@in_namespace
def test_the_administrators_rule_in_place_of_the_copy_is_pointed_out() -> None:
    install_suse()
    (Path("/etc/udev/rules.d") / COPY.name).write_text("")
    assert f"{COPY.name} is in force beside kdumphpd" in udev_rules("mask").stderr


@in_namespace
def test_where_kdump_is_another_distributions_nothing_is_put_there() -> None:
    install()
    mount_tmpfs("/sys/kernel")
    (Path("/sys/kernel") / "kexec_crash_loaded").write_text("1\n")
    for word in ("mask", "again", "unmask"):
        assert udev_rules(word).returncode == 0
    assert not COPY.exists()
