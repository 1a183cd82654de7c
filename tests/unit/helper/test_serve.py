# SPDX-License-Identifier: GPL-2.0-or-later
"""What the helper does about an image: observe, decide, load, record. Each test is one situation."""

import copy

import pytest

from kdumphpd.config import Config, ReloadConfig
from kdumphpd.helper.record import Pending, Unit
from kdumphpd.helper.serve import serve
from kdumphpd.kernel.kmsg import KernelError
from kdumphpd.protocol import Outcome, Reason, Request, Result
from tests.unit.helper.world import UNIT, FakeSystem, Killed, World

CONFIG = Config()


def silent(step: str) -> None:
    """Nobody wants to know."""


def ask(world: World, request: Request = Request.UPDATE, config: Config = CONFIG) -> Result:
    return serve(request, FakeSystem(world), copy.deepcopy(world.record), config, silent)


@pytest.fixture
def world() -> World:
    world = World()
    world.image = world.new_image(updatable=True, safe=True)
    return world


def test_an_image_that_describes_the_machine_is_left_alone(world: World) -> None:
    result = ask(world, Request.CHECK)
    assert (result.outcome, result.reason, result.kernel_updates) == (Outcome.CURRENT, Reason.CURRENT, True)
    assert world.loads == []


def test_no_image_is_left_alone(world: World) -> None:
    world.image = None
    assert ask(world).outcome is Outcome.NOT_LOADED
    assert world.image is None


def test_memory_that_the_kernel_did_not_add_is_one_reload(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    result = ask(world)
    assert (result.outcome, result.reason, result.method) == (Outcome.RELOADED, Reason.STALE, "kexec -c --hotplug")
    assert world.describes
    assert ask(world).outcome is Outcome.CURRENT
    assert len(world.loads) == 1


def test_an_image_that_the_kernel_may_not_touch_is_reloaded_once(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    assert ask(world, Request.CHECK).reason is Reason.NOT_UPDATABLE
    assert ask(world, Request.CHECK).outcome is Outcome.CURRENT
    assert len(world.loads) == 1


def test_so_is_the_next_one_that_somebody_else_loads(world: World) -> None:
    ask(world, Request.CHECK)
    world.restart()
    config = Config(reload=ReloadConfig(max_unprotected=1))
    assert ask(world, Request.CHECK, config).reason is Reason.NOT_UPDATABLE
    assert ask(world, Request.CHECK, config).outcome is Outcome.CURRENT


def test_a_kexec_that_is_refused_is_not_a_reload_and_both_syscalls_are_tried(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.kexec = "refuses"
    result = ask(world, Request.CHECK)
    assert result.outcome is Outcome.CURRENT
    assert result.detail.count("Operation not permitted") == 2
    assert not result.kernel_updates
    assert world.record.method == ""


def test_a_kexec_that_is_refused_while_the_image_is_stale_is_a_failure(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.kexec = "refuses"
    result = ask(world)
    assert (result.outcome, result.armed, result.pending) == (Outcome.FAILED, True, False)


def test_an_unsafe_image_is_reloaded_once_with_what_it_lacks(world: World) -> None:
    world.hotpluggable = True
    world.image = world.new_image(updatable=True, safe=False)
    assert ask(world, Request.CHECK).reason is Reason.UNSAFE
    assert world.image is not None
    assert world.image.safe
    assert ask(world, Request.CHECK).outcome is Outcome.CURRENT


def test_an_unsafe_image_that_stays_so_is_reported_and_not_reloaded_again(world: World) -> None:
    world.hotpluggable, world.recording = True, False
    world.image = world.new_image(updatable=True, safe=False)
    for _ in range(2):
        result = ask(world, Request.CHECK)
        assert (result.outcome, result.armed) == (Outcome.UNSAFE, True)
        assert "would load the same image again" in result.detail
    assert world.loads == []


def test_an_image_of_the_distributions_own_reload_is_improved_as_soon_as_that_is_possible(world: World) -> None:
    world.hotpluggable, world.recording = True, False
    world.image, world.record.pending = None, Pending()
    result = ask(world)
    assert (result.outcome, result.armed) == (Outcome.DEFERRED, True)
    world.recording, world.now = True, world.now + 10_000
    assert ask(world).outcome is Outcome.RELOADED
    assert ask(world).outcome is Outcome.CURRENT


def test_an_unsafe_image_is_the_operators_choice_where_nothing_is_to_be_appended(world: World) -> None:
    world.hotpluggable = True
    world.image = world.new_image(updatable=True, safe=False)
    config = Config(reload=ReloadConfig(append=""))
    assert ask(world, Request.CHECK, config).outcome is Outcome.CURRENT


def test_a_method_that_does_not_see_the_memory_is_not_tried_again_for_it(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.kexec = "blind"
    assert ask(world).outcome is Outcome.STALE
    world.now += 10_000
    done = len(world.loads)
    assert ask(world).outcome is Outcome.STALE
    assert len(world.loads) == done
    world.kexec = "works"
    assert ask(world, Request.REARM).outcome is Outcome.RELOADED


# --- an image that can't be read ------------------------------------------------------------------------


@pytest.fixture
def hidden(world: World) -> World:
    world.readable = False
    return world


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


# --- a reload that is pending ---------------------------------------------------------------------------


def test_what_was_taken_down_is_loaded_again(world: World) -> None:
    world.image, world.record.pending = None, Pending()
    assert ask(world).reason is Reason.PENDING
    assert world.describes
    assert world.record.pending is None


@pytest.mark.parametrize("after", range(12))
def test_a_helper_that_is_killed_at_any_point_leaves_an_image_or_a_pending_reload(world: World, after: int) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.kill_in = after
    try:
        ask(world)
    except Killed:
        assert world.image is not None or world.record.pending is not None
    world.kill_in = None
    ask(world)
    assert world.describes


def test_a_pending_reload_is_dropped_where_the_unit_was_stopped_since(world: World) -> None:
    world.image = None
    world.record.pending = Pending((Unit(UNIT, "active", "enabled"),))
    world.stop()
    result = ask(world)
    assert (result.outcome, result.reason) == (Outcome.NOT_LOADED, Reason.UNLOADED)
    assert world.record.pending is None
    assert ask(world).outcome is Outcome.NOT_LOADED


def test_systemd_that_does_not_answer_is_no_reason_to_leave_the_machine_without_an_image(world: World) -> None:
    world.image = None
    world.record.pending = Pending((Unit(UNIT, "active", "enabled"),))
    world.systemd_answers = False
    assert ask(world).outcome is Outcome.RELOADED


def test_systemd_that_does_not_answer_is_no_reason_to_unload(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)

    def silence() -> None:
        world.systemd_answers = False

    world.during_load = silence
    assert ask(world).outcome is Outcome.RELOADED
    assert world.describes


def test_a_unit_that_is_stopped_while_ours_loads_is_heeded(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.during_load = world.stop
    result = ask(world)
    assert (result.outcome, result.reason, result.armed) == (Outcome.NOT_LOADED, Reason.UNLOADED, False)
    assert world.record.pending is None


def test_a_unit_that_is_restarted_while_ours_loads_has_the_image_loaded_once_more(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)

    def restart() -> None:
        world.during_load = None
        world.restart()

    world.during_load = restart
    assert ask(world).outcome is Outcome.RELOADED
    assert len(world.loads) == 2
    assert world.describes


def test_a_record_that_cant_be_written_leaves_the_loaded_image_alone(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.record_writable = False
    result = ask(world)
    assert (result.outcome, result.armed) == (Outcome.FAILED, True)
    assert world.loads == []


def test_files_that_are_not_ready_leave_the_loaded_image_alone(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.files_ready = False
    result = ask(world)
    assert (result.outcome, result.armed, result.retry) == (Outcome.FAILED, True, True)
    assert "is being written" in result.detail
    assert world.record.pending is None


def test_where_recording_fails_the_distributions_own_reload_runs(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.recording = False
    assert ask(world).method == "kdumpctl reload"
    assert world.describes


# --- limits ---------------------------------------------------------------------------------------------


def test_a_reload_that_comes_too_early_is_deferred_and_rearm_now_is_not(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.record.ended, world.record.unprotected = world.now, 1.0
    result = ask(world)
    assert (result.outcome, round(result.wait)) == (Outcome.DEFERRED, 19)
    assert ask(world, Request.REARM).outcome is Outcome.DEFERRED
    assert ask(world, Request.REARM_NOW).outcome is Outcome.RELOADED


def test_no_reload_is_deferred_for_more_than_an_hour(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.record.ended, world.record.unprotected = world.now, 60 * 3600.0
    assert ask(world).wait <= 3600


def test_the_limit_follows_the_present_configuration(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.record.ended, world.record.unprotected = world.now, 60.0
    assert ask(world, config=Config(reload=ReloadConfig(max_unprotected=1))).outcome is Outcome.RELOADED


def test_a_missing_image_never_waits(world: World) -> None:
    world.image, world.record.pending = None, Pending()
    world.record.ended, world.record.unprotected = world.now, 60.0
    assert ask(world).outcome is Outcome.RELOADED


def test_an_image_that_is_right_is_not_called_out_of_date_because_it_could_be_better(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.record.ended, world.record.unprotected = world.now, 60.0
    assert ask(world, Request.CHECK).outcome is Outcome.CURRENT
    world.now += 10_000
    assert ask(world, Request.CHECK).outcome is Outcome.RELOADED


@pytest.mark.parametrize("obstacle", ["load_disabled", "no_loader"])
def test_what_only_an_operator_can_change_is_reported_once_and_not_retried(world: World, obstacle: str) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.load_disabled, world.has_loader = obstacle == "load_disabled", obstacle != "no_loader"
    first, second = ask(world), ask(world)
    assert (first.outcome, first.retry, first.known) == (Outcome.FAILED, False, False)
    assert (second.outcome, second.retry, second.known) == (Outcome.FAILED, False, True)
    assert world.loads == []


def test_a_right_image_of_nobody_is_fine(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.has_loader = False
    assert ask(world, Request.CHECK).outcome is Outcome.CURRENT


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


def test_a_refused_load_during_an_update_of_the_kernel_is_no_reload(world: World) -> None:
    """That takes the image away for an instant as well."""
    world.hotpluggable = True
    world.image = world.new_image(updatable=True, safe=False)
    world.kexec = "refuses"

    class Blip(FakeSystem):
        def _kexec(self) -> None:
            self._meter.unprotected += 0.001
            super()._kexec()

    result = serve(Request.CHECK, Blip(world), world.record, CONFIG, silent)
    assert (result.outcome, result.method) == (Outcome.UNSAFE, "")
    assert world.record.method == ""


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


def test_an_unsafe_image_whose_files_are_being_written_is_tried_again_in_a_moment(world: World) -> None:
    world.hotpluggable, world.files_ready = True, False
    world.image = world.new_image(updatable=True, safe=False)
    result = ask(world, Request.CHECK)
    assert (result.outcome, result.wait > 0) == (Outcome.UNSAFE, True)
    world.files_ready = True
    assert ask(world, Request.CHECK).outcome is Outcome.RELOADED


def test_a_unit_that_was_restarted_meanwhile_and_cannot_be_followed_is_followed_later(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)

    def restart() -> None:
        world.during_load, world.files_ready, world.changed = None, False, world.changed + 1

    world.during_load = restart
    result = ask(world)
    assert (result.outcome, result.wait > 0, result.method) == (Outcome.DEFERRED, True, "kexec -c --hotplug")
