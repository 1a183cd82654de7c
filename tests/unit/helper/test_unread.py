# SPDX-License-Identifier: GPL-2.0-or-later
"""What the helper does about an image that it can't read. Each test is one situation."""

import pytest

from kdumphpd.config import Config, ReloadConfig
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import Record
from kdumphpd.kernel.kmsg import KernelError
from kdumphpd.protocol import Outcome, Reason, Request
from tests.unit.helper.asking import ask
from tests.unit.helper.world import FakeSystem, World


def test_an_unreadable_image_is_taken_for_right_at_the_first_check(hidden: World) -> None:
    hidden.kernel_can = False
    for request in (Request.CHECK, Request.CHECK, Request.UPDATE):
        result = ask(hidden, request)
        assert (result.outcome, result.reason) == (Outcome.CURRENT, Reason.UNCHANGED)
    assert hidden.loads == []


def test_a_cpu_that_is_gone_needs_no_reload_and_one_that_is_added_does(hidden: World) -> None:
    hidden.kernel_can = False
    hidden.cpus = {0, 1}
    ask(hidden, Request.CHECK)
    hidden.remove_cpu(1)
    assert ask(hidden).outcome is Outcome.CURRENT
    hidden.add_cpu(1)
    assert ask(hidden).outcome is Outcome.CURRENT
    hidden.add_cpu(2)
    assert ask(hidden).reason is Reason.CHANGED
    assert ask(hidden).outcome is Outcome.CURRENT


def test_memory_that_was_added_is_the_kernels_where_it_reports_so(hidden: World) -> None:
    ask(hidden, Request.CHECK)
    hidden.online(2)
    assert ask(hidden).outcome is Outcome.UNVERIFIED
    assert hidden.loads == []


def test_memory_that_was_removed_is_a_reload_although_the_kernel_reports_that_it_updates(hidden: World) -> None:
    ask(hidden, Request.CHECK)
    hidden.offline(1)
    assert ask(hidden).reason is Reason.CHANGED
    assert hidden.describes


def test_a_kernel_error_is_a_reload_whatever_the_flag_says(hidden: World) -> None:
    ask(hidden, Request.CHECK)
    hidden.online(2, busy=True)
    assert ask(hidden).reason is Reason.KERNEL_ERROR
    assert hidden.describes
    assert ask(hidden).outcome is Outcome.UNVERIFIED


def test_a_kernel_error_is_not_handled_by_an_observation_alone(hidden: World) -> None:
    ask(hidden, Request.CHECK)
    hidden.online(2, busy=True)
    hidden.kexec = "refuses"
    assert ask(hidden).outcome is Outcome.FAILED
    hidden.kexec = "works"
    assert ask(hidden).reason is Reason.KERNEL_ERROR


def test_nor_by_a_reload_that_is_deferred(hidden: World) -> None:
    ask(hidden, Request.CHECK)
    hidden.record.ended, hidden.record.unprotected = hidden.now, 10.0
    hidden.online(2, busy=True)
    assert ask(hidden).outcome is Outcome.DEFERRED
    hidden.now += 10_000
    assert ask(hidden).reason is Reason.KERNEL_ERROR


def test_while_events_arrive_the_last_report_counts(hidden: World) -> None:
    ask(hidden, Request.CHECK)
    hidden.online(2)
    assert ask(hidden, Request.UPDATE_UNSETTLED).outcome is Outcome.UNVERIFIED


def test_errors_before_a_load_are_handled_by_it_and_later_ones_are_not(hidden: World) -> None:
    hidden.image = hidden.new_image(updatable=True, safe=True)
    ask(hidden, Request.CHECK)
    hidden.online(2, busy=True)

    def another() -> None:
        hidden.during_load = None
        hidden.errors.append(KernelError(7, "crash hp: kexec_trylock() failed"))

    hidden.during_load = another
    ask(hidden)
    hidden.now += 10_000
    assert ask(hidden).reason is Reason.KERNEL_ERROR


def test_what_changes_while_an_unreadable_image_is_loaded_is_not_taken_for_described(world: World) -> None:
    world.kernel_can = world.readable = False
    world.image = world.new_image(updatable=False, safe=True)
    world.record.machine = world.fingerprint()
    world.online(2)
    world.during_load = lambda: world.online(3)
    config = Config(reload=ReloadConfig(max_unprotected=1))
    assert ask(world, config=config).reason is Reason.CHANGED
    world.during_load = None
    assert ask(world, config=config).reason is Reason.CHANGED
    assert ask(world, config=config).reason is Reason.UNCHANGED


def test_nor_is_it_ascribed_to_the_kernel_which_had_no_such_image_yet(world: World) -> None:
    world.readable = False
    world.record.machine = world.fingerprint()
    world.offline(1)
    world.during_load = lambda: world.blocks.add(3)  # before the new image is there: no update, no error
    config = Config(reload=ReloadConfig(max_unprotected=1))
    world.kexec = "blind"
    result = ask(world, config=config)
    assert (result.outcome, result.detail) == (Outcome.DEFERRED, "CPUs or memory changed while the image was loaded")
    world.during_load, world.kexec = None, "works"
    assert ask(world, config=config).reason is Reason.CHANGED
    assert world.describes
    assert ask(world, config=config).reason is Reason.KERNEL_UPDATES


def test_where_the_image_cannot_be_read_the_recorded_command_says_whether_it_is_safe(world: World) -> None:
    world.hotpluggable, world.readable = True, False
    world.restart(updatable=True)
    assert ask(world, Request.CHECK).reason is Reason.UNSAFE
    assert world.image is not None
    assert world.image.safe
    assert ask(world, Request.CHECK).outcome in (Outcome.CURRENT, Outcome.UNVERIFIED)
    assert len(world.loads) == 1


def test_one_that_cannot_be_read_nor_made_safe_is_tried_once_and_stays_unsafe(world: World) -> None:
    world.hotpluggable, world.readable, world.kexec = True, False, "refuses"
    world.restart(updatable=True)
    for request in (Request.CHECK, Request.CHECK, Request.UPDATE):
        assert ask(world, request).outcome is Outcome.UNSAFE
    assert world.loads == []
    assert world.record.improved == "unread"


def test_nor_is_it_touched_where_nothing_is_to_be_appended(world: World) -> None:
    world.hotpluggable, world.readable = True, False
    world.restart(updatable=True)
    config = Config(reload=ReloadConfig(append=""))
    assert ask(world, Request.CHECK, config).outcome in (Outcome.CURRENT, Outcome.UNVERIFIED)
    assert world.loads == []


def test_what_the_kernel_said_of_an_earlier_image_describes_nothing(world: World) -> None:
    """While events flow crash_hotplug is not read, and the image may have been replaced meanwhile."""
    world.readable = False
    ask(world, Request.CHECK)
    world.online(2)
    world.restart(updatable=False, safe=True)
    world.online(3)
    ask(world, Request.UPDATE_UNSETTLED)
    assert ask(world, Request.UPDATE).reason is Reason.CHANGED
    assert world.describes


def test_the_next_unreadable_image_is_made_safe_like_the_first(world: World) -> None:
    world.hotpluggable, world.readable = True, False
    for _ in range(2):
        world.image = world.new_image(updatable=True, safe=False)
        assert ask(world, Request.CHECK).outcome is Outcome.RELOADED
        assert world.image.safe
        world.now += 10_000
        world.stop()
        assert ask(world, Request.CHECK).outcome is Outcome.NOT_LOADED
        world.active = True


def test_a_change_that_could_not_be_loaded_is_not_taken_for_described_later(world: World) -> None:
    world.kernel_can = world.readable = False
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.load_disabled = True
    assert ask(world, Request.UPDATE).outcome is Outcome.FAILED
    assert ask(world, Request.CHECK).outcome is Outcome.FAILED
    world.load_disabled = False
    assert ask(world, Request.CHECK).outcome is Outcome.RELOADED
    assert world.describes
    assert ask(world, Request.CHECK).reason is Reason.UNCHANGED


def test_an_image_of_ours_that_is_read_only_later_is_still_ours(world: World) -> None:
    world.hotpluggable, world.readable = True, False
    world.image = world.new_image(updatable=True, safe=False)
    assert ask(world, Request.CHECK).outcome is Outcome.RELOADED
    world.readable = True  # as with verify.image = "in-doubt", while events arrive
    assert ask(world, Request.UPDATE_UNSETTLED).outcome is Outcome.CURRENT
    world.readable = False
    assert ask(world, Request.UPDATE).outcome is Outcome.UNVERIFIED


def test_what_was_overtaken_is_forgotten_with_the_image(world: World) -> None:
    world.readable, world.record.overtaken, world.image = False, True, None
    ask(world, Request.CHECK)
    world.restart(updatable=True, safe=True)
    ask(world, Request.CHECK)
    world.online(2)
    assert (ask(world).outcome, world.loads) == (Outcome.UNVERIFIED, [])


def test_and_when_the_image_is_read_as_right(world: World) -> None:
    world.record.overtaken = True
    assert ask(world, Request.CHECK).outcome is Outcome.CURRENT
    world.readable = False
    world.online(2)
    assert (ask(world).outcome, world.loads) == (Outcome.UNVERIFIED, [])


def test_what_could_not_be_loaded_is_forgotten_with_the_image(world: World) -> None:
    world.kernel_can = world.readable = world.has_loader = False
    world.online(2)
    assert ask(world).outcome is Outcome.FAILED
    world.image = None
    assert ask(world, Request.CHECK).outcome is Outcome.MISSING
    world.image = world.new_image(updatable=False, safe=True)
    assert ask(world, Request.CHECK).outcome is Outcome.CURRENT


def test_an_image_of_ours_that_lacks_it_all_the_same_is_unsafe(world: World) -> None:
    world.hotpluggable, world.readable = True, False
    world.record.method, world.record.improved, world.record.machine = "kexec_load", "unread", world.fingerprint()
    assert ask(world, Request.CHECK, Config(reload=ReloadConfig(append="foo"))).outcome is Outcome.UNSAFE
    assert ask(world, Request.CHECK).outcome is Outcome.UNVERIFIED


def test_root_has_an_image_that_cannot_be_read_made_safe_once_more(world: World) -> None:
    world.hotpluggable, world.readable, world.kexec = True, False, "refuses"
    world.record.improved, world.record.machine = "unread", world.fingerprint()
    world.image = world.new_image(updatable=False, safe=False)
    assert ask(world, Request.CHECK).outcome is Outcome.UNSAFE
    world.kexec = "works"
    assert ask(world, Request.CHECK).outcome is Outcome.UNSAFE
    assert ask(world, Request.REARM).outcome is Outcome.RELOADED


def test_while_events_arrive_a_new_image_is_not_asked_about_either(
    hidden: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read of crash_hotplug can make the kernel skip an update."""
    asked: list[bool] = []
    observe = FakeSystem.observe

    def noted(self: FakeSystem, record: Record, *, settled: bool) -> Observation:
        asked.append(settled)
        return observe(self, record, settled=settled)

    monkeypatch.setattr(FakeSystem, "observe", noted)
    hidden.online(2, busy=True)
    result = ask(hidden, Request.UPDATE_UNSETTLED)
    assert (result.outcome, result.kernel_updates) == (Outcome.RELOADED, True)
    assert asked == [False, False]
    hidden.online(3)
    assert ask(hidden, Request.UPDATE_UNSETTLED).outcome is Outcome.UNVERIFIED


@pytest.mark.parametrize("kernel_can", [True, False])
def test_one_that_the_operator_has_loaded_since_ours_is_not_taken_for_ours(world: World, *, kernel_can: bool) -> None:
    world.hotpluggable, world.readable, world.kernel_can = True, False, kernel_can
    for _ in range(2):
        world.restart()  # between two requests
        assert ask(world, Request.CHECK).outcome is Outcome.RELOADED
        assert world.image is not None
        assert world.image.safe
        assert ask(world, Request.CHECK).outcome in (Outcome.CURRENT, Outcome.UNVERIFIED)
        world.now += 10_000
