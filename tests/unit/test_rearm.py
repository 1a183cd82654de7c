# SPDX-License-Identifier: GPL-2.0-or-later
"""What root's part does about an image: look, decide, load anew, remember."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd import memo, rearm, sight
from kdumphpd.config import Config, KexecConfig, Loader, ReloadConfig, Verify, VerifyConfig
from kdumphpd.image.ranges import Range
from kdumphpd.image.verdict import State, Verdict
from kdumphpd.policy import Reason
from kdumphpd.protocol import Outcome, Result, Verb
from kdumphpd.reload import kexec
from kdumphpd.reload.run import Withdrawn
from tests.unit.trees import CPU_HOTPLUG, CRASH_LOADED, MEMORY_HOTPLUG, kept_current, kernel, put

UNREAD = VerifyConfig(image=Verify.NEVER)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return kept_current(tmp_path)


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """In kexec's place: takes the image away and puts one there, if `works` exists; and what calls it."""
    program = tmp_path / "kexec"
    program.write_text(
        f"""#!/bin/sh
echo "$@" >>{tmp_path}/calls
echo 0 >{tmp_path}/{CRASH_LOADED}
if [ ! -e {tmp_path}/works ]; then
	echo 'Cannot load: no memory'
	exit 255
fi
echo 1 >{tmp_path}/{CRASH_LOADED}
"""
    )
    program.chmod(0o755)
    put(tmp_path, {"vmlinuz": "kernel", "works": ""})
    monkeypatch.setattr(kexec, "KEXEC", str(program))
    settings = ReloadConfig(loader=Loader.KEXEC, kexec=KexecConfig(kernel="/vmlinuz"))
    return Config(reload=settings, verify=UNREAD)


def silent(step: str) -> None:
    """Nobody wants to know."""


# --- looking, where the image itself cannot be read ---------------------------------------------------------


def test_verify_on_a_machine_without_an_image_says_so_and_changes_nothing(root: Path) -> None:
    kernel(root, loaded="0\n")
    assert rearm.verify(root) == Result(outcome=Outcome.NOTHING_LOADED)


def test_verify_where_the_image_cannot_be_read_says_why(root: Path) -> None:
    result = rearm.verify(root)
    assert result.outcome is Outcome.UNREADABLE
    assert result.armed
    assert "kallsyms" in result.detail or "kcore" in result.detail


def test_an_image_that_the_kernel_keeps_current_is_not_reloaded(root: Path, loader: Config) -> None:
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.reason) == (Outcome.TRUSTED, Reason.KERNEL_UPDATES)
    assert (result.armed, result.kernel_updates) == (True, True)
    assert not (root / "calls").exists()


def test_no_image_is_left_alone(root: Path, loader: Config) -> None:
    kernel(root, loaded="0\n")
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.armed) == (Outcome.NOTHING_LOADED, False)
    assert not (root / "calls").exists()


# --- reloading --------------------------------------------------------------------------------------------


def test_an_image_that_the_kernel_may_not_touch_is_reloaded(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    steps: list[str] = []
    result = rearm.rearm(root, loader, steps.append)
    assert (result.outcome, result.reason, result.loader) == (Outcome.RELOADED, Reason.NOT_UPDATABLE, "kexec")
    assert result.armed
    assert result.seconds > 0
    assert result.way == "kexec -s"  # with this kexec the only way to an image that this kernel may update
    assert steps == ["reading the loaded image", "loading the image with kexec -s"]
    assert not memo.is_owed(root)


def test_a_failed_reload_without_an_image_stays_owed_and_is_made_good(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    (root / "works").unlink()
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.armed) == (Outcome.FAILED, False)
    assert "no memory" in result.detail
    assert memo.is_owed(root)

    put(root, {"works": ""})
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.reason, result.armed) == (Outcome.RELOADED, Reason.OWED, True)
    assert not memo.is_owed(root)


def test_a_reload_that_cannot_begin_leaves_the_image_as_it_is(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    (root / "vmlinuz").unlink()
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.armed) == (Outcome.FAILED, True)
    assert "cannot read" in result.detail
    assert not memo.is_owed(root)


def test_without_a_place_for_the_promise_the_image_stays_untouched(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    (root / memo.FOLDER).rmdir()
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.armed) == (Outcome.FAILED, True)
    assert not (root / "calls").exists()


def test_a_loader_that_lies_is_not_believed(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    program = Path(kexec.KEXEC)
    program.write_text(f"#!/bin/sh\necho 0 >{root}/{CRASH_LOADED}\n")
    result = rearm.rearm(root, loader, silent)
    assert result.outcome is Outcome.FAILED
    assert "kexec -s reported success, but no image is loaded; then kexec -c reported" in result.detail
    assert memo.is_owed(root)


def test_with_no_loader_at_all_the_operator_is_told_what_to_do(root: Path) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    result = rearm.rearm(root, Config(verify=UNREAD), silent)
    assert (result.outcome, result.armed, result.loader) == (Outcome.FAILED, True, "")
    assert "install the distribution's kdump package" in result.detail


def test_a_complaint_of_the_kernel_is_answered_with_one_reload(root: Path, loader: Config) -> None:
    put(root, {"dev/kmsg": "4,9,1,-;crash hp: kexec_trylock() failed, kdump image may be inaccurate\n"})
    first = rearm.rearm(root, loader, silent)
    assert (first.outcome, first.reason) == (Outcome.RELOADED, Reason.UPDATE_FAILED)
    assert "kexec_trylock() failed" in first.detail
    assert rearm.rearm(root, loader, silent).outcome is Outcome.TRUSTED


# --- the bound, and others who load ------------------------------------------------------------------------


def look_in_turn(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> None:
    """What is read of the image, look by look; the last for ever."""
    left = list(verdicts)

    def examine(root: Path, cache: Path) -> tuple[None, Verdict]:
        return None, left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(sight, "examine", examine)


SHORT = Verdict(State.STALE, missing=(Range(0x100000000, 0x13FFFFFFF),))
SHORT_ELSEWHERE = Verdict(State.STALE, missing=(Range(0x200000000, 0x23FFFFFFF),))
CURRENT = Verdict(State.CURRENT)


def test_a_reload_beyond_the_bound_is_put_off_and_nothing_is_touched(
    root: Path, loader: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_in_turn(monkeypatch, SHORT)
    memo.write(root, memo.Memo(free_at=time.monotonic() + 1000))
    result = rearm.rearm(root, replace(loader, verify=VerifyConfig()), silent)
    assert (result.outcome, result.armed) == (Outcome.DEFERRED, True)
    assert 0 < result.wait <= 1000
    assert "0x100000000-0x13fffffff (1 GiB) is missing" in result.detail
    assert not (root / "calls").exists()


def test_an_image_that_is_owed_does_not_wait_for_the_bound(root: Path, loader: Config) -> None:
    kernel(root, loaded="0\n")
    memo.write(root, memo.Memo(owed=True, free_at=time.monotonic() + 1000))
    assert rearm.rearm(root, loader, silent).outcome is Outcome.RELOADED
    assert memo.read(root).free_at > time.monotonic() + 900


def test_a_reload_is_paid_for_with_time_in_proportion_to_its_gap(
    root: Path, loader: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_in_turn(monkeypatch, SHORT, CURRENT)
    result = rearm.rearm(root, replace(loader, verify=VerifyConfig()), silent)
    assert result.outcome is Outcome.RELOADED
    left = memo.read(root).free_at - time.monotonic()
    assert left <= result.unprotected * 19
    assert left > result.unprotected * 19 - 5


def test_what_a_reload_does_not_see_is_said_once_and_not_reloaded_for(
    root: Path, loader: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_in_turn(monkeypatch, SHORT)
    config = replace(loader, verify=VerifyConfig())
    first = rearm.rearm(root, config, silent)
    assert (first.outcome, first.armed) == (Outcome.STALE, True)
    assert memo.read(root).burnt == ["file", "load"]
    calls = (root / "calls").read_text()
    second = rearm.rearm(root, config, silent)
    assert (second.outcome, second.seconds) == (Outcome.STALE, 0)
    assert (root / "calls").read_text() == calls


def test_what_changes_while_an_image_is_loaded_gets_another_look(
    root: Path, loader: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_in_turn(monkeypatch, SHORT, SHORT_ELSEWHERE)
    result = rearm.rearm(root, replace(loader, verify=VerifyConfig()), silent)
    assert result.outcome is Outcome.DEFERRED
    assert result.seconds > 0
    assert result.wait >= 1
    assert (memo.read(root).unmended, memo.read(root).burnt) == ("", [])


def test_an_image_that_was_unloaded_since_the_look_is_left_alone(
    root: Path, loader: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_in_turn(monkeypatch, SHORT)
    put(root, {CRASH_LOADED: "0\n"})
    result = rearm.rearm(root, replace(loader, verify=VerifyConfig()), silent)
    assert (result.outcome, result.armed) == (Outcome.NOTHING_LOADED, False)
    assert not (root / "calls").exists()
    assert not memo.is_owed(root)


def test_an_image_that_others_loaded_while_they_were_waited_for_is_not_loaded_again(
    root: Path, loader: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_in_turn(monkeypatch, SHORT, CURRENT)
    monkeypatch.setattr("kdumphpd.replace.wait_until_idle", lambda units, timeout: True)
    result = rearm.rearm(root, replace(loader, verify=VerifyConfig()), silent)
    assert (result.outcome, result.armed) == (Outcome.CURRENT, True)
    assert not (root / "calls").exists()


def test_an_image_that_the_operator_withdraws_while_it_is_loaded_is_not_owed(
    root: Path, loader: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def withdrawn(argv: list[str], timeout: float) -> None:
        put(root, {CRASH_LOADED: "0\n"})
        raise Withdrawn("kdump-tools.service was stopped meanwhile")

    look_in_turn(monkeypatch, SHORT)
    monkeypatch.setattr(kexec, "load", withdrawn)
    result = rearm.rearm(root, replace(loader, verify=VerifyConfig()), silent)
    assert (result.outcome, result.armed) == (Outcome.NOTHING_LOADED, False)
    assert not memo.is_owed(root)


# --- an image that the kernel could keep current ------------------------------------------------------------


def not_updatable(monkeypatch: pytest.MonkeyPatch) -> None:
    look_in_turn(monkeypatch, CURRENT)
    monkeypatch.setattr(sight.Sight, "kernel_updates", False)


def test_it_is_reloaded_once_where_that_is_asked_for(
    root: Path, loader: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_updatable(monkeypatch)
    config = replace(loader, verify=VerifyConfig())
    assert rearm.rearm(root, config, silent).outcome is Outcome.CURRENT
    result = rearm.rearm(root, config, silent, Verb.UPGRADE)
    assert (result.outcome, result.reason) == (Outcome.RELOADED, Reason.UPGRADE)
    assert rearm.rearm(root, config, silent, Verb.UPGRADE).outcome is Outcome.CURRENT


@pytest.mark.parametrize("why", ["configuration", "kernel", "loader"])
def test_it_is_left_where_that_is_not_wanted_or_would_not_help(
    root: Path, loader: Config, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    not_updatable(monkeypatch)
    config = replace(loader, verify=VerifyConfig())
    if why == "configuration":
        config = replace(config, reload=replace(config.reload, upgrade=False))
    elif why == "kernel":
        for path in (CPU_HOTPLUG, MEMORY_HOTPLUG):
            (root / path).unlink()
    else:
        config = replace(config, reload=ReloadConfig())
    assert rearm.rearm(root, config, silent, Verb.UPGRADE).outcome is Outcome.CURRENT
    assert not (root / "calls").exists()
