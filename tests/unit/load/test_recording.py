# SPDX-License-Identifier: GPL-2.0-or-later
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd import runtime
from kdumphpd.load import recording as recording_module
from kdumphpd.load.command import parse
from kdumphpd.load.crypt_keys import REUSE, YES
from kdumphpd.load.files import identity
from kdumphpd.load.recording import (
    CALLS,
    CANNOT_BE_ASKED,
    FOLDER,
    REAL,
    RECORDER,
    UNIT,
    Bypassed,
    LoaderFailed,
    Recipe,
    is_fresh,
)
from kdumphpd.load.run import LoadFailed, NotReady
from kdumphpd.sysfs import BOOT_ID
from tests.unit.load.asked import LOAD, call, machine, recipe, record
from tests.unit.trees import put


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return machine(tmp_path, monkeypatch)


# --- asking the loader ------------------------------------------------------------------------------------


def test_the_last_load_that_the_loader_asked_for_is_the_recording(root: Path) -> None:
    asked = recipe(root)
    found = record(root, asked, 30)
    assert found.command == parse(["/sbin/kexec", *LOAD])
    assert found.inputs == {
        "/etc/kdump.conf": identity(root / "etc/kdump.conf"),
        "/etc/kdump/pre.d/a.sh": identity(root / "etc/kdump/pre.d/a.sh"),
        "/etc/sysconfig/kdump": None,
        "/boot/vmlinuz": identity(root / "boot/vmlinuz"),
        "/boot/initrd": identity(root / "boot/initrd"),
    }
    assert is_fresh(root, asked, found)


def test_it_runs_with_a_recorder_over_kexec_and_the_true_one_aside(root: Path) -> None:
    record(root, recipe(root), 3600)
    arguments = (root / "systemd/arguments").read_text().splitlines()
    assert f"--unit={UNIT}" in arguments
    assert "--property=TimeoutStartSec=3600" in arguments
    properties = [word.removeprefix("--property=") for word in arguments if word.startswith("--property=")]
    binds = [f"BindReadOnlyPaths=/usr/sbin/kexec:/{REAL}", f"BindReadOnlyPaths={RECORDER}:/usr/sbin/kexec"]
    assert properties[-3:] == [*binds, "KeyringMode=shared"]


def test_its_lock_is_one_that_nobody_else_can_hold(root: Path) -> None:
    (root / "run/lock").mkdir(parents=True)
    with (root / "run/lock/kdump").open("w"):
        record(root, replace(recipe(root), lock="/run/lock/kdump"), 30)
    arguments = (root / "systemd/arguments").read_text().splitlines()
    assert f"--property=BindPaths=/{runtime.FOLDER}/loader-lock:/run/lock/kdump" in arguments


def test_the_keys_of_an_encrypted_target_are_not_fetched_to_answer(root: Path) -> None:
    """kdumpctl would want them from a keyring that has forgotten them, and fail."""
    put(root, {REUSE: "0\n"})
    record(root, recipe(root), 30)
    arguments = (root / "systemd/arguments").read_text().splitlines()
    assert f"--property=BindReadOnlyPaths=/{YES}:/{REUSE}" in arguments
    assert (root / YES).read_text() == "1\n"
    assert (root / REUSE).read_text() == "0\n"


def test_where_kexec_has_two_files_both_are_covered(root: Path) -> None:
    (root / "sbin").unlink()
    put(root, {"sbin/kexec": "another"})
    record(root, recipe(root), 30)
    arguments = (root / "systemd/arguments").read_text()
    assert f"BindReadOnlyPaths=/sbin/kexec:/{REAL}\n" in arguments
    for program in ("/sbin/kexec", "/usr/sbin/kexec"):
        assert f"BindReadOnlyPaths={RECORDER}:{program}\n" in arguments


def test_only_root_can_read_or_write_a_recording(root: Path) -> None:
    record(root, recipe(root), 30)
    assert (root / FOLDER).stat().st_mode & 0o777 == 0o700
    assert (root / CALLS).stat().st_mode & 0o777 == 0o600


def test_what_an_earlier_one_has_recorded_does_not_count(root: Path) -> None:
    asked = recipe(root)
    record(root, asked, 30)
    (root / "call").write_bytes(b"")
    with pytest.raises(LoadFailed, match="did not ask kexec to load a panic kernel"):
        record(root, asked, 30)


def test_a_loader_that_loads_nothing_is_told_with_its_last_words(root: Path) -> None:
    asked = recipe(root, "echo kdump: No crash kernel memory reserved")
    (root / "call").write_bytes(call("-p", "-u"))
    with pytest.raises(LoadFailed, match=r"load` did not ask .* in success and said: kdump: No crash kernel memory"):
        record(root, asked, 30)
    asked = recipe(root, "echo cannot lock; exit 3")
    (root / "call").write_bytes(b"")
    with pytest.raises(LoadFailed, match=r"did not ask kexec .* failed with status 3: cannot lock"):
        record(root, asked, 30)


@pytest.mark.parametrize(("option", "kind"), [("--of-tomorrow", LoadFailed), ("--nonsense", LoaderFailed)])
def test_what_kexec_would_refuse_is_no_reason_to_take_the_image_down(
    root: Path, option: str, kind: type[LoadFailed]
) -> None:
    """A loader that unloads first would be left with nothing. A newer kexec may know more than is known here."""
    put(root, {"usr/sbin/kexec": "#!/bin/sh\necho '     --of-tomorrow=N  Load it the day after.'\n"})
    (root / "usr/sbin/kexec").chmod(0o755)
    asked = recipe(root)
    (root / "call").write_bytes(call("-p", "-u") + call("-p", option, "/boot/vmlinuz"))
    with pytest.raises(LoadFailed, match=f"kexec knows no option {option}") as caught:
        record(root, asked, 30)
    assert type(caught.value) is kind


def test_a_load_that_is_not_understood_is_told_with_what_is_not(root: Path) -> None:
    asked = recipe(root)
    (root / "call").write_bytes(call("-p", "--of-tomorrow", "/boot/vmlinuz"))
    with pytest.raises(
        LoadFailed, match=r"--of-tomorrow /boot/vmlinuz`: kexec knows no option --of-tomorrow; it ended"
    ):
        record(root, asked, 30)


def test_an_exit_status_that_means_something_is_told_in_words(root: Path) -> None:
    """openSUSE's load.sh says nothing where its initrd is missing."""
    asked = replace(recipe(root, "exit 6"), meanings={6: "the initrd is missing: `mkdumprd` builds it"})
    (root / "call").write_bytes(b"")
    with pytest.raises(
        LoaderFailed, match=r"with status 6: it said nothing; the initrd is missing: `mkdumprd` builds"
    ):
        record(root, asked, 30)


def test_one_that_fails_after_it_has_loaded_is_heeded_and_logged(root: Path, said: list[str]) -> None:
    found = record(root, recipe(root, "echo crash_loaded is 0; exit 1"), 30)
    assert found.command.kernel == Path("/boot/vmlinuz")
    assert "failed with status 1: crash_loaded is 0" in said[0]


def test_one_that_cannot_be_run_is_told_in_systemds_words(root: Path) -> None:
    with pytest.raises(LoadFailed, match=r"^cannot run /usr/bin/kdumpctl reload: .*Failed to find executable"):
        record(root, Recipe(("/usr/bin/kdumpctl", "reload")), 30)


@pytest.mark.parametrize(
    ("missing", "words"),
    [(RECORDER, "record-kexec is missing: install kdumphpd again"), ("/usr/sbin/kexec", "install kexec-tools")],
)
def test_what_is_needed_to_ask_is_named_where_it_is_missing(root: Path, missing: str, words: str) -> None:
    (root / missing.lstrip("/")).unlink()
    with pytest.raises(LoadFailed, match=words):
        record(root, recipe(root), 30)


def test_a_kernel_that_the_loader_takes_away_again_is_no_recording(root: Path) -> None:
    with pytest.raises(LoadFailed, match=r"would load /boot/vmlinuz, which is not there: build it again"):
        record(root, recipe(root, f"rm {root}/boot/vmlinuz"), 30)


def test_nobody_is_told_to_build_what_the_loader_makes_for_one_load(root: Path) -> None:
    """It has to load itself, with the image that is out of date taken down first: nobody else has its kernel."""
    asked = recipe(root)
    (root / "call").write_bytes(call("-p", "--initrd=/boot/initrd", "/tmp/kdump.x7Yq/vmlinuz"))
    with pytest.raises(LoadFailed, match=r"loads /tmp/kdump.x7Yq/vmlinuz, which it makes for one load") as caught:
        record(root, asked, 30)
    assert not isinstance(caught.value, NotReady)


def test_an_initrd_that_the_loader_has_built_is_the_one_that_counts(root: Path) -> None:
    asked = recipe(root, f"echo new >{root}/boot/initrd")
    found = record(root, asked, 30)
    assert found.inputs["/boot/initrd"] == identity(root / "boot/initrd")
    assert is_fresh(root, asked, found)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("exit 1", LoaderFailed),
        (f"exit {CANNOT_BE_ASKED}", LoadFailed),
        ("exit 226", LoadFailed),  # systemd's, NAMESPACE
        ("kill -9 $$", LoadFailed),
    ],
)
def test_a_loader_that_fails_is_told_from_one_that_cannot_be_asked(
    root: Path, end: str, kind: type[LoadFailed]
) -> None:
    asked = recipe(root, end)
    (root / "call").write_bytes(b"")
    with pytest.raises(LoadFailed) as caught:
        record(root, asked, 30)
    assert type(caught.value) is kind


def test_one_with_a_kexec_of_its_own_is_known_by_that(root: Path) -> None:
    asked = recipe(root)
    (root / "call").write_bytes(b"")
    with pytest.raises(Bypassed):
        record(root, asked, 30)


# --- how long it holds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    ["etc/kdump.conf", "etc/sysconfig/kdump", "etc/kdump/pre.d/b.sh", "boot/vmlinuz", "boot/initrd", BOOT_ID],
)
def test_a_recording_is_old_once_something_has_changed(root: Path, change: str) -> None:
    asked = recipe(root)
    found = record(root, asked, 30)
    put(root, {change: "changed, and of another size"})
    assert not is_fresh(root, asked, found)


@pytest.mark.parametrize("gone", ["etc/kdump.conf", "etc/kdump/pre.d/a.sh", "boot/initrd"])
def test_or_has_gone(root: Path, gone: str) -> None:
    asked = recipe(root)
    found = record(root, asked, 30)
    (root / gone).unlink()
    assert not is_fresh(root, asked, found)


def test_what_changes_while_the_loader_runs_makes_it_old(root: Path) -> None:
    asked = recipe(root, f"echo dracut_args >>{root}/etc/kdump.conf")
    found = record(root, asked, 30)
    assert not is_fresh(root, asked, found)


def test_another_loader_would_say_something_else(root: Path) -> None:
    asked = recipe(root)
    found = record(root, asked, 30)
    assert not is_fresh(root, replace(asked, argv=("/usr/lib/kdump/load.sh",)), found)
    assert not is_fresh(root, replace(asked, properties=()), found)


def test_a_disk_that_does_not_answer_makes_it_old(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = recipe(root)
    found = record(root, asked, 30)

    def bounded(*arguments: object) -> None:
        raise LoadFailed("did not answer within 60 s")

    monkeypatch.setattr(recording_module, "bounded", bounded)
    assert not is_fresh(root, asked, found)
