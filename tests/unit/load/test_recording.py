# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdumphpd import runtime
from kdumphpd.load import recording as recording_module
from kdumphpd.load.command import parse
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
    Recording,
    calls,
    is_fresh,
    keep,
    last_load,
    load_kept,
    record,
)
from kdumphpd.load.run import LoadFailed
from kdumphpd.sysfs import BOOT_ID
from tests.unit.load.transient import install, put

LOAD = ["-p", "--append=quiet", "--initrd=/boot/initrd", "/boot/vmlinuz"]


def call(*words: str) -> bytes:
    """As record-kexec writes it."""
    return b"".join(os.fsencode(word) + b"\0" for word in (str(len(words)), *words))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a merged /usr, a loader's configuration, and something in systemd's place."""
    put(
        tmp_path,
        {
            "usr/sbin/kexec": "kexec",
            RECORDER.lstrip("/"): "recorder",
            "boot/vmlinuz": "kernel",
            "boot/initrd": "initrd",
            "etc/kdump.conf": "path /var/crash\n",
            "etc/kdump/pre.d/a.sh": "",
            BOOT_ID: "5c7d6f7e-0000-4000-8000-000000000001\n",
        },
    )
    (tmp_path / "sbin").symlink_to("usr/sbin")
    install(tmp_path, monkeypatch)
    return tmp_path


def recipe(root: Path, script: str = "") -> Recipe:
    """A loader that does `script` and loads, by writing down what kexec would have been told."""
    put(root, {"load": f"cat {root}/call >>{root / CALLS}\n{script}\n"})
    (root / "call").write_bytes(call("-p", "-u") + call(*LOAD))
    return Recipe(
        ("/bin/sh", str(root / "load")),
        properties=("KeyringMode=shared",),
        inputs=("/etc/kdump.conf", "/etc/kdump/pre.d/*", "/etc/sysconfig/kdump"),
    )


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


def test_an_initrd_that_the_loader_has_built_is_the_one_that_counts(root: Path) -> None:
    asked = recipe(root, f"echo new >{root}/boot/initrd")
    found = record(root, asked, 30)
    assert found.inputs["/boot/initrd"] == identity(root / "boot/initrd")
    assert is_fresh(root, asked, found)


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


# --- what is kept -----------------------------------------------------------------------------------------


def test_a_recording_is_kept_for_root_alone(root: Path) -> None:
    assert load_kept(root, runtime.RECORDING) is None
    found = record(root, recipe(root), 30)
    keep(root, runtime.RECORDING, found)
    assert (root / runtime.RECORDING).stat().st_mode & 0o777 == 0o600
    assert load_kept(root, runtime.RECORDING) == found
    newer = replace(found, boot_id="another")
    keep(root, runtime.RECORDING, newer)
    assert load_kept(root, runtime.RECORDING) == newer


def test_arguments_that_are_no_text_survive_too(root: Path) -> None:
    found = Recording(parse(["/sbin/kexec", "-p", "--append=\udcff", "/k"]), {"/k": None}, "1")
    keep(root, runtime.RECORDING, found)
    assert load_kept(root, runtime.RECORDING) == found


def test_a_link_in_its_place_is_not_followed(root: Path) -> None:
    found = record(root, recipe(root), 30)
    keep(root, "elsewhere", found)
    (root / runtime.RECORDING).symlink_to(root / "elsewhere")
    assert load_kept(root, runtime.RECORDING) is None
    keep(root, runtime.RECORDING, found)
    assert not (root / runtime.RECORDING).is_symlink()


@pytest.mark.parametrize("mode", [0o622, 0o666, 0o620])
def test_what_others_could_have_written_is_not_used(root: Path, mode: int) -> None:
    keep(root, runtime.RECORDING, record(root, recipe(root), 30))
    (root / runtime.RECORDING).chmod(mode)
    assert load_kept(root, runtime.RECORDING) is None


def test_a_fifo_in_its_place_is_nothing_to_wait_for(root: Path) -> None:
    os.mkfifo(root / runtime.RECORDING, 0o600)
    assert load_kept(root, runtime.RECORDING) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"argv": [], "inputs": {}, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-p", 7], "inputs": {}, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-e"], "inputs": {}, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-p", "/k"], "inputs": {"/k": [1]}, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-p", "/k"], "inputs": 7, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-p", "/k"], "inputs": {}, "boot_id": null, "loader": []}',
        "[" * 100_000,
    ],
)
def test_what_is_no_recording_is_none(root: Path, text: str) -> None:
    put(root, {runtime.RECORDING: text})
    (root / runtime.RECORDING).chmod(0o600)
    assert load_kept(root, runtime.RECORDING) is None


def test_json_tells_all_of_it(root: Path) -> None:
    found = record(root, recipe(root), 30)
    assert Recording.from_json(json.loads(json.dumps(found.to_json()))) == found


# --- the recorded calls -----------------------------------------------------------------------------------


@given(st.lists(st.lists(st.binary(max_size=8).map(lambda word: os.fsdecode(word.replace(b"\0", b""))), max_size=5)))
def test_recorded_calls_come_back_whatever_is_in_them(sent: list[list[str]]) -> None:
    data = b"".join(call(*words) for words in sent)
    assert list(calls(data)) == sent


@given(st.binary(max_size=60), st.lists(st.text("abc", max_size=3), max_size=3))
def test_what_is_not_complete_is_left_out(rest: bytes, words: list[str]) -> None:
    assert list(calls(call(*words) + b"3\0-p\0"))[:1] == [words]
    assert list(calls(call(*words) + rest))[:1] == [words]


def test_calls_that_load_nothing_for_a_panic_are_passed_over() -> None:
    assert last_load(b"") is None
    assert last_load(call("-p", "-u") + call("-l", "/k") + call("-e") + call()) is None
    found = last_load(call("-p", "/one") + call("-s", "-p", "/two") + call("-p", "--nonsense") + call("-p", "-u"))
    assert found == parse(["/sbin/kexec", "-s", "-p", "/two"])


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
