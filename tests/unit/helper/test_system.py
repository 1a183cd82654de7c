# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking a loader: the image has to be there all the time."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kdumphpd.config import Config, LoaderChoice
from kdumphpd.helper.system import RealSystem
from kdumphpd.kernel.limits import Limits
from kdumphpd.load import recording
from kdumphpd.load.recording import Bypassed, Recipe, Recording
from kdumphpd.load.run import LoadFailed, NotReady
from kdumphpd.runtime import FOLDER, UNASKABLE

LIMITS = Limits("", None, locked_down=False)
LOADED = "sys/kernel/kexec_crash_loaded"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in (FOLDER, str(Path(LOADED).parent)):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / LOADED).write_text("1\n")
    return tmp_path


def asked(monkeypatch: pytest.MonkeyPatch, loader: Callable[[Path], Recording]) -> list[Path]:
    """Have `loader` run instead of the distribution's; who asked."""
    asking: list[Path] = []

    def record(root: Path, _recipe: Recipe, _limit: float) -> Recording:
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
    monkeypatch.setattr(RealSystem, "loader", lambda self: LoaderChoice.KDUMPCTL)
    asking = asked(monkeypatch, failing(Bypassed))
    ask(root)
    assert (root / UNASKABLE).read_text().startswith("took the image down for 0.")
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
    monkeypatch.setattr(RealSystem, "loader", lambda self: LoaderChoice.KDUMPCTL)
    asking = asked(monkeypatch, failing(failure, unload))
    ask(root)
    ask(root)
    assert len(asking) == 2
    assert not (root / UNASKABLE).exists()


def test_one_that_was_installed_again_is_asked_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RealSystem, "loader", lambda self: LoaderChoice.KDUMPCTL)
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
