# SPDX-License-Identifier: GPL-2.0-or-later
from itertools import product

import pytest

from kdumphpd.image.verdict import State, Verdict
from kdumphpd.kernel.crash_hotplug import Answer, Capability
from kdumphpd.policy import Action, Decision, Reason, decide
from kdumphpd.storm import Subsystem

ANSWERS = list(Answer)
UNREAD = [None, Verdict(State.UNREADABLE, detail="lockdown")]


def capability(cpu: Answer = Answer.YES, memory: Answer = Answer.YES, *, loaded: bool = True) -> Capability:
    return Capability(loaded=loaded, cpu=cpu, memory=memory)


@pytest.mark.parametrize("verdict", [*UNREAD, Verdict(State.NO_IMAGE)])
@pytest.mark.parametrize(("cpu", "memory"), list(product(ANSWERS, ANSWERS)))
def test_an_image_that_is_not_there_is_left_alone_whatever_the_kernel_says(
    cpu: Answer, memory: Answer, verdict: Verdict | None
) -> None:
    decision = decide(capability(cpu, memory, loaded=False), Subsystem, verdict, complained=True)
    assert decision == Decision(Action.LEAVE_ALONE, Reason.NOTHING_LOADED)


@pytest.mark.parametrize(("loaded", "verdict"), [(False, None), (False, UNREAD[1]), (True, Verdict(State.NO_IMAGE))])
def test_an_image_that_we_took_down_is_put_back(*, loaded: bool, verdict: Verdict | None) -> None:
    assert decide(capability(loaded=loaded), Subsystem, verdict, owed=True) == Decision(Action.RELOAD, Reason.OWED)


def test_a_promise_whose_image_is_there_asks_for_nothing_more() -> None:
    assert decide(capability(), Subsystem, owed=True).action is Action.KERNEL
    assert decide(capability(), Subsystem, Verdict(State.CURRENT), owed=True).action is Action.NOTHING


@pytest.mark.parametrize(("cpu", "memory", "complained"), list(product(ANSWERS, ANSWERS, (False, True))))
def test_an_image_that_was_read_decides_and_the_kernels_word_does_not(
    *, cpu: Answer, memory: Answer, complained: bool
) -> None:
    seen = capability(cpu, memory)
    current = decide(seen, Subsystem, Verdict(State.CURRENT), complained=complained)
    stale = decide(seen, Subsystem, Verdict(State.STALE), complained=complained)
    assert current == Decision(Action.NOTHING, Reason.IMAGE_CURRENT)
    assert stale == Decision(Action.RELOAD, Reason.IMAGE_STALE)


@pytest.mark.parametrize("verdict", UNREAD)
@pytest.mark.parametrize(("cpu", "memory"), list(product(ANSWERS, ANSWERS)))
def test_where_nothing_was_read_the_kernels_word_decides(
    cpu: Answer, memory: Answer, verdict: Verdict | None
) -> None:
    decision = decide(capability(cpu, memory), Subsystem, verdict)
    answers = {cpu, memory}
    if answers == {Answer.YES}:
        expected = Decision(Action.KERNEL, Reason.KERNEL_UPDATES)
    elif Answer.NO in answers:
        expected = Decision(Action.RELOAD, Reason.NOT_UPDATABLE)
    elif Answer.UNREADABLE in answers:
        expected = Decision(Action.RELOAD, Reason.UNKNOWN)
    else:
        expected = Decision(Action.RELOAD, Reason.UNSUPPORTED)
    assert decision == expected


@pytest.mark.parametrize("other", ANSWERS)
def test_only_the_touched_subsystem_is_asked_about(other: Answer) -> None:
    assert decide(capability(cpu=Answer.YES, memory=other), {Subsystem.CPU}).action is Action.KERNEL
    assert decide(capability(cpu=other, memory=Answer.YES), {Subsystem.MEMORY}).action is Action.KERNEL


def test_a_kernel_that_reported_a_failed_update_is_not_believed() -> None:
    assert decide(capability(), Subsystem, complained=True) == Decision(Action.RELOAD, Reason.UPDATE_FAILED)


def test_an_image_that_the_kernel_could_keep_current_is_loaded_anew_where_that_is_wanted() -> None:
    wanted = Decision(Action.RELOAD, Reason.UPGRADE)
    assert decide(capability(), Subsystem, Verdict(State.CURRENT), upgradable=True) == wanted
    assert decide(capability(), Subsystem, Verdict(State.STALE), upgradable=True).reason is Reason.IMAGE_STALE
    absent = decide(capability(loaded=False), Subsystem, Verdict(State.NO_IMAGE), upgradable=True)
    assert absent.action is Action.LEAVE_ALONE
