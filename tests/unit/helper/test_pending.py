# SPDX-License-Identifier: GPL-2.0-or-later
"""A reload that has begun, and others who load meanwhile. Each test is one situation."""

import copy
from collections.abc import Callable

import pytest

from kdumphpd.config import Config, LoaderChoice
from kdumphpd.helper.record import Pending, Record, Unit
from kdumphpd.helper.serve import serve
from kdumphpd.kernel.limits import Limits
from kdumphpd.load.method import Method
from kdumphpd.load.run import LoadFailed
from kdumphpd.protocol import Outcome, Reason, Request
from tests.unit.helper.asking import ask, silent
from tests.unit.helper.world import UNIT, FakeSystem, Killed, World


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


def test_a_unit_that_was_restarted_meanwhile_and_cannot_be_followed_is_followed_later(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)

    def restart() -> None:
        world.during_load, world.files_ready, world.changed = None, False, world.changed + 1

    world.during_load = restart
    result = ask(world)
    assert (result.outcome, result.wait > 0, result.method) == (Outcome.DEFERRED, True, "kexec -c --hotplug")


def test_a_bug_in_a_load_leaves_nothing_pending_beside_an_image(world: World) -> None:
    world.online(2, busy=True)

    class Bug(FakeSystem):
        def load(self, method: Method) -> None:
            raise ValueError("embedded null byte")

    with pytest.raises(ValueError, match="null"):
        serve(Request.UPDATE, Bug(world), world.record, Config(), silent)
    assert world.record.pending is None


def test_an_image_that_is_unloaded_while_the_loader_is_asked_is_forgotten(hidden: World) -> None:
    """Or what was known of it would be said of the next one, which the operator loads."""
    hidden.record = Record(machine=hidden.fingerprint(), method="kexec_load")
    hidden.offline(1)

    class Unloading(FakeSystem):
        def methods(
            self, loader: LoaderChoice, limits: Limits, say: Callable[[str], None], *, renew: bool = False
        ) -> list[Method]:
            self.world.image = None
            return super().methods(loader, limits, say, renew=renew)

    result = serve(Request.UPDATE, Unloading(hidden), copy.deepcopy(hidden.record), Config(), silent)
    assert (result.outcome, result.armed, result.kernel_updates) == (Outcome.MISSING, False, False)
    assert hidden.record == Record()


class Unable(FakeSystem):
    def unload(self, loader: LoaderChoice) -> None:
        raise LoadFailed("kexec -p failed with status 1: Device or resource busy")


@pytest.fixture
def left(world: World) -> World:
    """The unit was stopped while ours loaded, and that image could not be unloaded."""
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.during_load = world.stop
    result = serve(Request.UPDATE, Unable(world), copy.deepcopy(world.record), Config(), silent)
    assert (result.outcome, result.armed, result.retry) == (Outcome.FAILED, True, True)
    assert "could not be unloaded" in result.detail
    world.during_load = None
    return world


def test_an_image_that_is_not_wanted_is_unloaded_as_soon_as_that_works(left: World) -> None:
    assert serve(Request.CHECK, Unable(left), copy.deepcopy(left.record), Config(), silent).outcome is Outcome.FAILED
    left.has_loader = False  # it was disabled, too
    assert ask(left).reason is Reason.UNLOADED
    assert left.image is None
    assert (left.record.pending, left.record.unwanted) == (None, None)


def test_what_is_loaded_by_hand_then_is_left_alone(left: World) -> None:
    left.image = left.new_image(updatable=True, safe=True)
    assert ask(left, Request.CHECK).outcome is Outcome.CURRENT
    assert left.record.unwanted is None


def test_what_is_not_known_of_the_unit_is_no_reason_to_unload(left: World) -> None:
    left.systemd_answers = False
    assert ask(left, Request.CHECK).armed
    left.systemd_answers = True
    assert ask(left, Request.CHECK).reason is Reason.UNLOADED
