# SPDX-License-Identifier: GPL-2.0-or-later
"""A loader that takes the image down while it is asked, however the asking ends."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kdumphpd.config import Config, LoaderChoice
from kdumphpd.helper import record
from kdumphpd.helper.lock import asking_lock
from kdumphpd.helper.record import Pending, Record, Unit
from kdumphpd.helper.system import RealSystem, resume
from kdumphpd.kernel.limits import Limits
from kdumphpd.load import choose, recording, units
from kdumphpd.load.command import parse
from kdumphpd.load.recording import Inputs, LeftNothing, LoaderFailed, Recipe, Recording
from kdumphpd.load.run import LoadFailed
from kdumphpd.load.units import UnitState
from kdumphpd.runtime import ASKED, FOLDER, UNASKABLE

LOADED = "sys/kernel/kexec_crash_loaded"
LIMITS = Limits("", None, locked_down=False)
RUNNING = Pending((Unit("kdump.service", "active", "enabled"),))
NAMED = Recording(parse(["/sbin/kexec", "-p", "/boot/vmlinuz"]), {}, "", ())


class Killed(BaseException):
    """The helper ends here."""


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    said = {"active": "active", "changed": "1"}
    monkeypatch.setattr(
        units,
        "read",
        lambda names: tuple(UnitState(name, said["active"], "enabled", said["changed"]) for name in names),
    )
    return said


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: dict[str, str]) -> Path:
    monkeypatch.setattr(RealSystem, "loader", lambda self: LoaderChoice.KDUMPCTL)
    idle = lambda self, loader: (False, units.read(choose.units(loader)))  # noqa: E731
    monkeypatch.setattr(RealSystem, "wait_until_idle", idle)
    for folder in (FOLDER, str(Path(LOADED).parent)):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / LOADED).write_text("1\n")
    return tmp_path


def ends(root: Path, monkeypatch: pytest.MonkeyPatch, how: Callable[[], Recording]) -> None:
    """The loader unloads, and that is the end of its being asked."""

    def asked(_root: Path, _recipe: Recipe, _inputs: Inputs, _limit: float) -> Recording:
        (root / LOADED).write_text("0\n")
        return how()

    monkeypatch.setattr(recording, "record", asked)


def failing(error: BaseException) -> Callable[[], Recording]:
    def how() -> Recording:
        raise error

    return how


ENDS = {
    "status 1": failing(LoaderFailed("failed with status 1")),
    "limit": failing(LoadFailed("was ended by systemd")),
    "success": lambda: NAMED,
}


def methods(root: Path) -> None:
    RealSystem(root, Config()).methods(LoaderChoice.KDUMPCTL, LIMITS, lambda _: None)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("ahead", [True, False])
def test_it_is_put_back_however_that_ends(
    root: Path, monkeypatch: pytest.MonkeyPatch, how: str, *, ahead: bool
) -> None:
    ends(root, monkeypatch, ENDS[how])
    monkeypatch.setattr(choose, "load", lambda root, loader: (root / LOADED).write_text("1\n"))
    RealSystem(root, Config()).prepare() if ahead else methods(root)
    assert (root / LOADED).read_text() == "1\n"
    assert (root / UNASKABLE).exists()
    assert not (root / ASKED).exists()


@pytest.mark.parametrize("how", ENDS)
def test_or_it_is_pending(root: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    ends(root, monkeypatch, ENDS[how])
    monkeypatch.setattr(choose, "load", lambda root, loader: failing(LoadFailed("no memory"))())
    RealSystem(root, Config()).prepare()
    pending = record.read(root).pending
    assert pending is not None
    assert (pending.units, pending.since > 0) == (RUNNING.units, True)
    (root / UNASKABLE).unlink()
    (root / LOADED).write_text("1\n")
    with pytest.raises(LeftNothing):
        methods(root)


def test_what_the_operator_stops_meanwhile_stays_unloaded(
    root: Path, monkeypatch: pytest.MonkeyPatch, unit: dict[str, str]
) -> None:
    def how() -> Recording:
        unit.update(active="inactive", changed="2")
        raise LoadFailed("was ended by systemd")

    ends(root, monkeypatch, how)
    monkeypatch.setattr(choose, "load", lambda root, loader: pytest.fail("it is loaded"))
    RealSystem(root, Config()).prepare()
    methods(root)
    assert record.read(root).pending is None
    assert not (root / UNASKABLE).exists()


def left_behind(root: Path) -> None:
    (root / ASKED).write_text(json.dumps({"units": [{"name": "kdump.service", "active": "active", "enabled": ""}]}))


@pytest.mark.parametrize("ahead", [True, False])
def test_a_helper_that_is_killed_meanwhile_leaves_word(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, ahead: bool
) -> None:
    """Nothing of ours runs any more then: what was noted before stays."""
    noted: list[str] = []

    def how() -> Recording:
        noted.append((root / ASKED).read_text())
        raise Killed

    ends(root, monkeypatch, how)
    with pytest.raises(Killed):
        RealSystem(root, Config()).prepare() if ahead else methods(root)
    (root / ASKED).write_text(noted[0])
    known = Record()
    resume(root, known)
    assert known.pending == record.read(root).pending == RUNNING
    assert not (root / ASKED).exists()


def test_whoever_still_asks_puts_it_right_by_itself(root: Path) -> None:
    left_behind(root)
    lock = asking_lock(root, 0.0)
    known = Record()
    resume(root, known)
    lock.release()
    assert (known.pending, (root / ASKED).exists()) == (None, True)


def test_a_loader_that_runs_on_may_take_it_down_later(root: Path, unit: dict[str, str]) -> None:
    left_behind(root)
    unit["active"] = "activating"
    resume(root, Record())
    assert (root / ASKED).exists()
