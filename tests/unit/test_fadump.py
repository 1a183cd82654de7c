# SPDX-License-Identifier: GPL-2.0-or-later
"""fadump from the kernel's files to the decision, and to what is written."""

import os
from itertools import product
from pathlib import Path

import pytest

from kdumphpd import memo, rearm, sight
from kdumphpd.config import Config, Loader, ReloadConfig
from kdumphpd.kernel import crash_hotplug
from kdumphpd.kernel.fadump import REGISTERED
from kdumphpd.policy import Action, Reason, decide
from kdumphpd.protocol import Outcome, Result, Verb
from kdumphpd.reload import choose, fadump
from kdumphpd.reload.run import LoadFailed
from kdumphpd.storm import Subsystem
from tests.unit.trees import CRASH_LOADED, put

NEW, OLD = "sys/kernel/fadump/{}", "sys/kernel/fadump_{}"
IOMEM = "00000000-{:08x} : System RAM\n"
LPAR, GROWN = IOMEM.format((8 << 30) - 1), IOMEM.format((12 << 30) - 1)

CPU, MEMORY, START = {Subsystem.CPU}, {Subsystem.MEMORY}, set(Subsystem)


def lpar(
    root: Path, *, enabled: str = "1\n", registered: str = "1\n", ready: str | None = None, place: str = NEW
) -> Path:
    """A PowerPC machine; `ready` None: its kernel has no hotplug_ready."""
    files = {place.format("enabled"): enabled, place.format("registered"): registered, "proc/iomem": LPAR}
    put(root, files | {"dev/kmsg": "", CRASH_LOADED: "0\n"})
    if ready is not None:
        put(root, {NEW.format("hotplug_ready"): ready})
    (root / memo.FOLDER).mkdir(parents=True, exist_ok=True)
    return root


def note_registered(root: Path) -> None:
    """fadump was registered by us, for the memory that there is now."""
    memo.write(root, memo.Memo(registered=sight.ram_digest(root)))


def silent(step: str) -> None:
    """Nobody wants to know."""


def root_part(root: Path, verb: Verb = Verb.REARM) -> Result:
    return rearm.rearm(root, Config(), silent, verb)


# --- what the listener asks for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "ready", "touched"), [*product((NEW, OLD), (None, "0\n", "1\n"), (CPU, MEMORY, START))]
)
def test_only_memory_matters_and_only_to_a_kernel_that_is_not_ready_for_it(
    tmp_path: Path, place: str, ready: str | None, touched: set[Subsystem]
) -> None:
    decision = decide(crash_hotplug.look(lpar(tmp_path, ready=ready, place=place), touched), touched)
    if touched == CPU or ready == "1\n":
        assert (decision.action, decision.reason) == (Action.KERNEL, Reason.KERNEL_UPDATES)
    else:
        assert (decision.action, decision.reason) == (Action.RELOAD, Reason.NOT_UPDATABLE)


@pytest.mark.parametrize(
    ("place", "ready", "touched"), [*product((NEW, OLD), (None, "0\n", "1\n"), (CPU, MEMORY, START))]
)
def test_what_is_not_registered_is_left_alone_and_what_we_unregistered_is_not(
    tmp_path: Path, place: str, ready: str | None, touched: set[Subsystem]
) -> None:
    seen = crash_hotplug.look(lpar(tmp_path, registered="0\n", ready=ready, place=place), touched)
    assert decide(seen, touched).action is Action.LEAVE_ALONE
    assert decide(seen, touched, owed=True).reason is Reason.OWED


@pytest.mark.parametrize("touched", [CPU, MEMORY, START])
def test_where_it_is_not_enabled_its_files_say_nothing(tmp_path: Path, touched: set[Subsystem]) -> None:
    # hotplug_ready is there, and 1, on every PowerPC of such a kernel.
    lpar(tmp_path, enabled="0\n", registered="0\n", ready="1\n")
    put(tmp_path, {CRASH_LOADED: "1\n"})
    decision = decide(crash_hotplug.look(tmp_path, touched), touched)
    assert (decision.action, decision.reason) == (Action.RELOAD, Reason.UNSUPPORTED)


# --- what root's part does ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "ready"), [*product((NEW, OLD), (None, "0\n"))])
def test_other_memory_is_registered_once(tmp_path: Path, place: str, ready: str | None) -> None:
    note_registered(lpar(tmp_path, ready=ready, place=place))
    put(tmp_path, {"proc/iomem": GROWN})
    result = root_part(tmp_path)
    assert (result.outcome, result.reason, result.loader, result.way) == (
        Outcome.RELOADED,
        Reason.IMAGE_STALE,
        Loader.FADUMP,
        "fadump",
    )
    assert result.detail == "fadump was registered for other memory than the 12 GiB that there are now"
    assert result.armed
    assert root_part(tmp_path).outcome is Outcome.CURRENT


@pytest.mark.parametrize("ready", [None, "0\n", "1\n"])
def test_a_storm_of_cpus_registers_nothing(tmp_path: Path, ready: str | None) -> None:
    # Root's part is not told what has changed. It sees that memory has not.
    note_registered(lpar(tmp_path, ready=ready))
    assert root_part(tmp_path).outcome is (Outcome.TRUSTED if ready == "1\n" else Outcome.CURRENT)
    assert root_part(tmp_path, Verb.UPGRADE).seconds == 0


def test_what_somebody_else_registered_is_registered_anew_at_the_start(tmp_path: Path) -> None:
    # Since then memory may have changed, and nobody noted what there was.
    result = root_part(lpar(tmp_path), Verb.UPGRADE)
    assert result.outcome is Outcome.RELOADED
    assert result.detail == "nobody here knows for which memory fadump was registered; there are 8 GiB now"
    assert root_part(tmp_path).outcome is Outcome.CURRENT


@pytest.mark.parametrize("verb", [Verb.REARM, Verb.UPGRADE])
def test_a_kernel_that_is_ready_for_it_is_trusted(tmp_path: Path, verb: Verb) -> None:
    note_registered(lpar(tmp_path, ready="1\n"))
    put(tmp_path, {"proc/iomem": GROWN})
    assert root_part(tmp_path, verb).outcome is Outcome.TRUSTED


@pytest.mark.parametrize("ready", [None, "1\n"])
def test_what_is_not_registered_stays_so_unless_it_was_us(tmp_path: Path, ready: str | None) -> None:
    lpar(tmp_path, registered="0\n", ready=ready)
    assert root_part(tmp_path).outcome is Outcome.NOTHING_LOADED
    memo.write(tmp_path, memo.Memo(owed=True))
    result = root_part(tmp_path)
    assert (result.outcome, result.reason, result.armed) == (Outcome.RELOADED, Reason.OWED, True)
    assert not memo.is_owed(tmp_path)


def test_where_the_memory_cannot_be_told_it_is_registered_anew(tmp_path: Path) -> None:
    # As without CAP_SYS_ADMIN: every address is zero.
    put(lpar(tmp_path), {"proc/iomem": "00000000-00000000 : System RAM\n"})
    result = root_part(tmp_path)
    assert (result.outcome, result.reason) == (Outcome.RELOADED, Reason.NOT_UPDATABLE)
    assert "/proc/iomem does not tell the memory" in sight.look(tmp_path, Config(), memo.Memo()).words


def test_a_registration_that_failed_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note_registered(lpar(tmp_path))
    put(tmp_path, {"proc/iomem": GROWN})

    def refuse(path: Path, digit: bytes) -> None:
        raise OSError(22, os.strerror(22))

    with monkeypatch.context() as patch:
        patch.setattr(fadump, "_write", refuse)
        result = root_part(tmp_path)
    assert (result.outcome, result.armed) == (Outcome.FAILED, True)
    assert "sys/kernel/fadump/registered failed with Invalid argument" in result.detail
    assert "journalctl -k" in result.detail
    assert root_part(tmp_path).outcome is Outcome.RELOADED


def test_memory_that_comes_while_it_registers_is_registered_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_registered(lpar(tmp_path))
    put(tmp_path, {"proc/iomem": GROWN})
    write = fadump._write

    def grow(path: Path, digit: bytes) -> None:
        write(path, digit)
        put(tmp_path, {"proc/iomem": IOMEM.format((16 << 30) - 1)})

    with monkeypatch.context() as patch:
        patch.setattr(fadump, "_write", grow)
        result = root_part(tmp_path)
    assert (result.outcome, result.armed) == (Outcome.DEFERRED, True)
    assert "other memory than the 16 GiB" in result.detail
    memory = memo.read(tmp_path)
    memory.free_at = 0.0
    memo.write(tmp_path, memory)
    assert root_part(tmp_path).outcome is Outcome.RELOADED
    assert root_part(tmp_path).outcome is Outcome.CURRENT


# --- the loader -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("registered", "written"), [("1\n", b"01"), ("0\n", b"1")])
def test_it_is_unregistered_if_need_be_and_registered(tmp_path: Path, registered: str, written: bytes) -> None:
    # A pipe keeps what was written, which a file does not.
    lpar(tmp_path, registered=registered)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fadump.register(tmp_path, pipe, 1)
        assert os.read(reader, 100) == written
    finally:
        os.close(reader)


def test_a_refusal_of_the_kernel_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"writing /dev/full failed with No space left on device; .*journalctl -k"):
        fadump.register(lpar(tmp_path), Path("/dev/full"), 1)


@pytest.mark.parametrize("place", [NEW, OLD])
def test_auto_takes_it_where_it_is_enabled_whatever_else_is_installed(tmp_path: Path, place: str) -> None:
    lpar(tmp_path, place=place)
    put(tmp_path, {"usr/bin/kdumpctl": "", "etc/systemd/system/multi-user.target.wants/kdump.service": ""})
    assert choose(tmp_path, Config()) is Loader.FADUMP
    put(tmp_path, {place.format("enabled"): "0\n"})
    assert choose(tmp_path, Config()) is Loader.KDUMPCTL


def test_the_new_place_is_written_where_both_exist(tmp_path: Path) -> None:
    lpar(lpar(tmp_path), place=OLD)
    [way] = fadump.ways(tmp_path, Config())
    (tmp_path / REGISTERED[0]).write_text("0\n")
    way.load(1)
    assert [(tmp_path / name).read_text() for name in REGISTERED] == ["1", "1\n"]


@pytest.mark.parametrize("enabled", [None, "0\n", "?\n"])
def test_asked_for_where_it_is_not_enabled_it_says_what_to_do(tmp_path: Path, enabled: str | None) -> None:
    if enabled:
        lpar(tmp_path, enabled=enabled)
    with pytest.raises(LoadFailed, match=r"not enabled in this kernel: boot it with fadump=on"):
        fadump.ways(tmp_path, Config(reload=ReloadConfig(loader=Loader.FADUMP)))
