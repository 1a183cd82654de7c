# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking a loader: the image has to be there all the time."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kdumphpd.config import Config, LoaderChoice
from kdumphpd.helper.system import RealSystem
from kdumphpd.load import recording
from kdumphpd.load.recording import Recipe, Recording
from kdumphpd.load.run import LoadFailed
from kdumphpd.runtime import FOLDER, UNASKABLE

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


def failing(unload: bool) -> Callable[[Path], Recording]:
    def loader(root: Path) -> Recording:
        if unload:
            (root / LOADED).write_text("0\n")
            time.sleep(0.2)  # for the meter to see
            (root / LOADED).write_text("1\n")
        raise LoadFailed("`kdumpctl reload` did not ask kexec to load a panic kernel")

    return loader


def ask(root: Path) -> None:
    RealSystem(root, Config()).prepare(lambda step: None)


def test_one_that_takes_the_image_down_is_asked_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RealSystem, "loader", lambda self: LoaderChoice.KDUMPCTL)
    asking = asked(monkeypatch, failing(unload=True))
    ask(root)
    assert (root / UNASKABLE).read_text().startswith("took the image down for 0.")
    ask(root)
    assert len(asking) == 1


def test_one_that_only_fails_is_asked_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RealSystem, "loader", lambda self: LoaderChoice.KDUMPCTL)
    asking = asked(monkeypatch, failing(unload=False))
    ask(root)
    ask(root)
    assert len(asking) == 2
    assert not (root / UNASKABLE).exists()
