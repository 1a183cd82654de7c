# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking a loader, after an answer and for a reload: the image has to be there all the time."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kdumphpd.config import Config, LoaderChoice
from kdumphpd.helper import asking as module
from kdumphpd.helper import record
from kdumphpd.helper.asking import Asking
from kdumphpd.helper.lock import asking_lock, request_lock
from kdumphpd.helper.record import Record
from kdumphpd.helper.system import RealSystem
from kdumphpd.kernel.limits import Limits
from kdumphpd.load import choose, recording, units
from kdumphpd.load.command import parse
from kdumphpd.load.recording import Bypassed, Inputs, Recipe, Recording
from kdumphpd.load.run import LoadFailed, NotReady
from kdumphpd.load.units import UnitState
from kdumphpd.runtime import FOLDER, UNASKABLE

LIMITS = Limits("", None, locked_down=False)
LOADED = "sys/kernel/kexec_crash_loaded"


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What systemd says of kdump.service: its StateChangeTimestampMonotonic."""
    said = {"changed": "1"}
    monkeypatch.setattr(units, "read", lambda _: (UnitState("kdump.service", "active", "enabled", said["changed"]),))
    return said


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: dict[str, str]) -> Path:
    monkeypatch.setattr(RealSystem, "loader", lambda self: LoaderChoice.KDUMPCTL)
    idle = lambda self, loader: (False, units.read(()))  # noqa: E731
    monkeypatch.setattr(RealSystem, "wait_until_idle", idle)
    for folder in (FOLDER, str(Path(LOADED).parent)):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / LOADED).write_text("1\n")
    return tmp_path


def asked(monkeypatch: pytest.MonkeyPatch, loader: Callable[[Path], Recording]) -> list[Path]:
    """Have `loader` run instead of the distribution's; who asked."""
    asking: list[Path] = []

    def record(root: Path, _recipe: Recipe, _inputs: Inputs, _limit: float) -> Recording:
        asking.append(root)
        return loader(root)

    monkeypatch.setattr(recording, "record", record)
    return asking


def failing(failure: type[LoadFailed], unload: bool = True) -> Callable[[Path], Recording]:
    def loader(root: Path) -> Recording:
        if unload:
            (root / LOADED).write_text("0\n")
            time.sleep(0.2)  # for the meter to see
            (root / LOADED).write_text("1\n")
        raise failure("`kdumpctl reload` did not ask kexec to load a panic kernel")

    return loader


def ask(root: Path) -> None:
    RealSystem(root, Config()).prepare()


def test_one_that_takes_the_image_down_is_asked_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = asked(monkeypatch, failing(Bypassed))
    ask(root)
    assert "took the image down for 0." in (root / UNASKABLE).read_text()
    ask(root)
    assert len(asking) == 1


@pytest.mark.parametrize(
    ("failure", "unload"),
    [(Bypassed, False), (LoadFailed, True), (NotReady, True)],
    ids=["not without an image", "it was somebody else", "it has said what"],
)
def test_one_that_only_fails_is_asked_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, failure: type[LoadFailed], unload: bool
) -> None:
    asking = asked(monkeypatch, failing(failure, unload))
    ask(root)
    ask(root)
    assert len(asking) == 2
    assert not (root / UNASKABLE).exists()


def test_one_that_was_installed_again_is_asked_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = asked(monkeypatch, failing(Bypassed))
    ask(root)
    (root / "etc").mkdir()
    (root / "etc/kdump.conf").touch()
    ask(root)
    assert len(asking) == 2


def test_what_a_loader_that_was_asked_would_load_and_is_missing_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own reload would take the old image down first, whoever else has unloaded it meanwhile."""
    asked(monkeypatch, failing(NotReady))
    with pytest.raises(NotReady):
        RealSystem(root, Config()).methods(
            LoaderChoice.KDUMPCTL, Limits("", None, locked_down=False), lambda step: None
        )


def unloading(root: Path, then: Callable[[], object] = lambda: None) -> Callable[[Path], Recording]:
    def loader(_: Path) -> Recording:
        (root / LOADED).write_text("0\n")
        time.sleep(0.1)
        then()
        raise Bypassed("it ended in success and said: nothing")

    return loader


@pytest.fixture
def loads(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[LoaderChoice]:
    """Who was told to put an image back."""
    told: list[LoaderChoice] = []
    monkeypatch.setattr(choose, "load", lambda root, loader: told.append(loader))
    return told


def test_an_image_that_it_took_down_is_put_back(
    root: Path, monkeypatch: pytest.MonkeyPatch, loads: list[LoaderChoice]
) -> None:
    asked(monkeypatch, unloading(root))
    ask(root)
    assert loads == [LoaderChoice.KDUMPCTL]
    assert (root / UNASKABLE).exists()
    assert record.read(root).pending is None


def test_one_that_cannot_be_put_back_is_pending(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(root: Path, loader: LoaderChoice) -> None:
        raise LoadFailed("no memory")

    monkeypatch.setattr(choose, "load", refused)
    asked(monkeypatch, unloading(root))
    ask(root)
    pending = record.read(root).pending
    assert pending is not None
    assert [unit.name for unit in pending.units] == ["kdump.service"]


def test_an_image_that_the_operator_unloads_meanwhile_stays_unloaded_and_the_loader_is_not_blamed(
    root: Path, monkeypatch: pytest.MonkeyPatch, loads: list[LoaderChoice], unit: dict[str, str]
) -> None:
    asked(monkeypatch, unloading(root, lambda: unit.update(changed="2")))
    ask(root)
    assert (loads, (root / UNASKABLE).exists()) == ([], False)


def test_neither_is_it_for_the_gap_of_another_helpers_load(
    root: Path, monkeypatch: pytest.MonkeyPatch, loads: list[LoaderChoice]
) -> None:
    asked(monkeypatch, unloading(root, lambda: record.write(root, Record(ended=7.0))))
    ask(root)
    assert (loads, (root / UNASKABLE).exists()) == ([], False)


def test_nothing_is_loaded_beside_a_request_that_is_at_work(
    root: Path, monkeypatch: pytest.MonkeyPatch, loads: list[LoaderChoice]
) -> None:
    monkeypatch.setattr(module, "REQUEST_LIMIT", 0.01)
    asked(monkeypatch, unloading(root))
    at_work = request_lock(root)
    ask(root)
    at_work.release()
    assert (loads, (root / UNASKABLE).exists()) == ([], False)


def test_while_one_is_asked_nobody_waits_for_that_ahead_of_need(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = asked(monkeypatch, failing(LoadFailed))
    monkeypatch.setattr(RealSystem, "wait_until_idle", lambda self, loader: pytest.fail("it waits"))
    lock = asking_lock(root, 0.0)
    ask(root)
    lock.release()
    assert asking == []


def test_a_reload_does_not_take_the_longer_way_because_of_that(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    lock = asking_lock(root, 0.0)
    with pytest.raises(NotReady):
        RealSystem(root, Config()).methods(LoaderChoice.KDUMPCTL, LIMITS, lambda step: None)
    lock.release()


def test_what_may_be_old_says_nothing_about_the_image_that_is_loaded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdumphpd.helper.system.memory_hotplug", lambda root: True)
    recorded = Recording(parse(["/sbin/kexec", "-p", "--command-line=x", "/boot/vmlinuz"]), {}, "", ())
    monkeypatch.setattr(Asking, "fresh", lambda self: recorded)
    assert RealSystem(root, Config()).lacking() == "acpi_no_memhotplug"
    monkeypatch.setattr(Asking, "fresh", lambda self: None)
    assert RealSystem(root, Config()).lacking() == ""


def test_what_cannot_be_kept_is_no_news(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kdumphpd.helper.system.memory_hotplug", lambda root: True)
    monkeypatch.setattr(recording, "keep", full)
    recorded = Recording(parse(["/sbin/kexec", "-p", "--command-line=x", "/boot/vmlinuz"]), {}, "", ())
    asking = asked(monkeypatch, lambda root: recorded)
    assert not RealSystem(root, Config()).prepare()
    assert len(asking) == 1
