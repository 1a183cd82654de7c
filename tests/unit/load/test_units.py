# SPDX-License-Identifier: GPL-2.0-or-later
from collections.abc import Sequence
from dataclasses import replace

import pytest

from kdumphpd.load.run import LoadFailed
from kdumphpd.load.units import Idle, States, UnitState, read, wait_until_idle, wanting, was_at_work, was_stopped

# As systemd 257 answers: the properties in its own order, an empty line between units.
ANSWER = """LoadState=loaded
ActiveState=active
UnitFileState=enabled
StateChangeTimestampMonotonic=37463196
Job=
InvocationID=22b0809668544373b0271e729fb08642

LoadState=not-found
ActiveState=inactive
UnitFileState=
StateChangeTimestampMonotonic=0
Job=
InvocationID=

LoadState=masked
ActiveState=inactive
UnitFileState=masked
StateChangeTimestampMonotonic=0
Job=12
InvocationID="""

ACTIVE = UnitState("kdump.service", "active", "enabled", "37463196", "22b0809668544373b0271e729fb08642")
STOPPED = replace(ACTIVE, active="inactive", changed="40000000")


# --- asking -----------------------------------------------------------------------------------------------


def test_one_call_tells_the_states_of_all_units_that_exist() -> None:
    asked: list[Sequence[str]] = []

    def ask(argv: Sequence[str], limit: float) -> str:
        asked.append(argv)
        return ANSWER

    masked = UnitState("c.service", "inactive", "masked", "0", "", job=True)
    assert read(["kdump.service", "b.service", "c.service"], ask) == (ACTIVE, masked)
    [argv] = asked
    assert argv[:2] == ["systemctl", "show"]
    assert argv[-3:] == ["kdump.service", "b.service", "c.service"]


def test_without_units_nobody_is_asked() -> None:
    assert read([], lambda argv, limit: pytest.fail("asked")) == ()


@pytest.mark.parametrize("answer", ["", "\n\n", "ActiveState=active", ANSWER, "Failed to connect to bus"])
def test_an_answer_that_is_none_is_not_an_answer(answer: str) -> None:
    assert read(["kdump.service"], lambda argv, limit: answer) is None


def test_where_systemd_does_not_answer_nothing_is_known() -> None:
    def ask(argv: Sequence[str], limit: float) -> str:
        raise LoadFailed("systemctl show did not end within 25 s and was killed")

    assert read(["kdump.service"], ask) is None


# --- waiting ----------------------------------------------------------------------------------------------


class Clock:
    """Time that goes on by sleeping alone."""

    now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def wait(*answers: States, limit: float = 30.0) -> Idle:
    """The last answer stays."""
    left = list(answers)
    clock = Clock()
    return wait_until_idle(
        ["kdump.service"], limit, lambda units: left.pop(0) if len(left) > 1 else left[0], clock.sleep, clock
    )


@pytest.mark.parametrize("active", ["activating", "deactivating", "reloading"])
def test_a_unit_that_is_at_work_is_waited_for(active: str) -> None:
    busy = replace(ACTIVE, active=active)
    assert wait((busy,), (busy,), (STOPPED,)) == Idle(True, (STOPPED,))


@pytest.mark.parametrize("active", ["active", "inactive", "failed"])
def test_one_that_is_done_is_not(active: str) -> None:
    assert wait((replace(ACTIVE, active=active),)) == Idle(False, (replace(ACTIVE, active=active),))


def test_one_that_takes_too_long_is_named_with_what_shows_why() -> None:
    with pytest.raises(
        LoadFailed, match=r"^kdump\.service \(activating\) has been at work for 7 s: `systemctl status"
    ):
        wait((replace(ACTIVE, active="activating"),), limit=7)


def test_a_systemd_that_does_not_answer_is_not_waited_for() -> None:
    assert wait(None) == Idle(False, None)
    assert wait((replace(ACTIVE, active="activating"),), None) == Idle(True, None)


# --- what has happened ------------------------------------------------------------------------------------


def test_a_unit_that_was_active_and_is_not_was_stopped() -> None:
    assert was_stopped((ACTIVE,), (STOPPED,))
    assert was_stopped((replace(ACTIVE, active="reloading"),), (STOPPED,))


@pytest.mark.parametrize("enabled", ["disabled", "masked", "masked-runtime"])
def test_so_was_one_that_is_no_longer_enabled(enabled: str) -> None:
    assert was_stopped((STOPPED,), (replace(STOPPED, enabled=enabled),))


def test_one_that_still_runs_was_not_however_it_is_enabled() -> None:
    assert not was_stopped((ACTIVE,), (replace(ACTIVE, enabled="disabled"),))
    other = UnitState("site-kdump.service", "active")
    assert not was_stopped((ACTIVE, other), (STOPPED, other))


def test_opensuses_early_unit_stays_active_when_the_later_one_is_stopped() -> None:
    early = UnitState("kdump-early.service", "active")
    kdump = replace(ACTIVE, name="kdump.service")
    assert was_stopped((kdump, early), (replace(kdump, active="inactive"), early))
    assert not was_stopped((early,), (early,))
    assert wanting((replace(kdump, active="inactive"), early)) == ""
    assert wanting((kdump, early)).startswith("kdump.service is active")


def test_a_unit_that_is_active_or_has_failed_wants_an_image_and_one_that_is_at_work_may_load_it() -> None:
    assert "somebody has unloaded the image, or it loaded none" in wanting((ACTIVE,))
    assert wanting((replace(ACTIVE, active="failed"),)) == f"{ACTIVE.name} has failed"
    assert wanting((STOPPED,)) == wanting(()) == wanting(None) == ""
    assert wanting((replace(ACTIVE, active="reloading"),)) == wanting((replace(STOPPED, job=True),)) == ""


def test_one_that_has_failed_was_not() -> None:
    assert not was_stopped((ACTIVE,), (replace(STOPPED, active="failed"),))


def test_one_that_is_about_to_be_started_again_was_not() -> None:
    # `systemctl restart` stops it first.
    assert not was_stopped((ACTIVE,), (replace(STOPPED, job=True),))


def test_what_was_stopped_before_was_not_stopped_now() -> None:
    assert not was_stopped((STOPPED,), (STOPPED,))


@pytest.mark.parametrize(("before", "now"), [(None, (STOPPED,)), ((ACTIVE,), None), (None, None), ((ACTIVE,), ())])
def test_what_is_not_known_is_no_evidence(before: States, now: States) -> None:
    assert not was_stopped(before, now)
    assert not was_at_work(before, now)


def test_a_unit_that_was_restarted_was_at_work() -> None:
    assert not was_at_work((ACTIVE,), (ACTIVE,))
    assert was_at_work((ACTIVE,), (replace(ACTIVE, changed="40000000"),))
    assert was_at_work((ACTIVE,), (replace(ACTIVE, invocation="another"),))
    assert was_at_work((ACTIVE,), (STOPPED,))


def test_an_inactive_one_that_systemd_has_forgotten_was_not() -> None:
    assert not was_at_work((STOPPED,), (replace(STOPPED, changed="0", invocation=""),))
