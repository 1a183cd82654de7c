# SPDX-License-Identifier: GPL-2.0-or-later
"""What the helper does about an image that it can read. Each test is one situation."""

import pytest

from kdumphpd.config import Config, LoaderChoice, ReloadConfig
from kdumphpd.helper.record import Pending
from kdumphpd.helper.serve import serve
from kdumphpd.protocol import Outcome, Reason, Request
from tests.unit.helper.asking import CONFIG, ask, silent
from tests.unit.helper.world import FakeSystem, World


def test_an_image_that_describes_the_machine_is_left_alone(world: World) -> None:
    result = ask(world, Request.CHECK)
    assert (result.outcome, result.reason, result.kernel_updates) == (Outcome.CURRENT, Reason.CURRENT, True)
    assert world.loads == []


def test_no_image_is_left_alone(world: World) -> None:
    world.image, world.active = None, False
    assert ask(world).outcome is Outcome.NOT_LOADED
    assert world.image is None


def test_one_that_was_unloaded_by_hand_is_left_alone_and_is_missing(world: World) -> None:
    world.image = None
    result = ask(world)
    assert (result.outcome, result.armed) == (Outcome.MISSING, False)
    assert result.detail.startswith("kdump.service is active: somebody has unloaded the image")
    world.systemd_answers = False
    assert ask(world).outcome is Outcome.NOT_LOADED, "what is not known is not said"
    assert world.image is None


def test_memory_that_the_kernel_did_not_add_is_one_reload(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    result = ask(world)
    assert (result.outcome, result.reason, result.method) == (Outcome.RELOADED, Reason.STALE, "kexec -c --hotplug")
    assert world.describes
    assert ask(world).outcome is Outcome.CURRENT
    assert len(world.loads) == world.record.reloads == 1


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


@pytest.mark.parametrize("request_of_roots", [Request.REARM, Request.REARM_NOW])
def test_root_has_it_tried_again_once_what_refused_it_is_mended(world: World, request_of_roots: Request) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.kexec = "refuses"
    assert ask(world, Request.CHECK).outcome is Outcome.CURRENT
    world.kexec = "works"
    assert (ask(world, Request.CHECK).outcome, world.loads) == (Outcome.CURRENT, [])
    result = ask(world, request_of_roots)
    assert (result.outcome, result.reason, result.kernel_updates) == (Outcome.RELOADED, Reason.NOT_UPDATABLE, True)
    assert ask(world, request_of_roots).outcome is Outcome.CURRENT
    assert len(world.loads) == 1


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


def test_a_right_image_of_nobody_is_fine(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.has_loader = False
    assert ask(world, Request.CHECK).outcome is Outcome.CURRENT


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


def test_neither_is_a_script_that_did_nothing(world: World) -> None:
    """It ends in success where somebody else holds its lock."""
    world.online(2, busy=True)
    world.recording = False

    class Idle(FakeSystem):
        def _own(self) -> None:
            self._meter.unprotected += 0.002

    result = serve(Request.UPDATE, Idle(world), world.record, CONFIG, silent)
    assert (result.outcome, result.armed) == (Outcome.FAILED, True)
    assert "still the old one" in result.detail
    assert (world.record.unresolved, world.record.reloads) == ("", 0)
    world.now += 10_000
    assert ask(world).outcome is Outcome.RELOADED


def test_an_unsafe_image_whose_files_are_being_written_is_tried_again_in_a_moment(world: World) -> None:
    world.hotpluggable, world.files_ready = True, False
    world.image = world.new_image(updatable=True, safe=False)
    result = ask(world, Request.CHECK)
    assert (result.outcome, result.wait > 0) == (Outcome.UNSAFE, True)
    world.files_ready = True
    assert ask(world, Request.CHECK).outcome is Outcome.RELOADED


def test_fadump_is_registered_again_where_the_kernel_refuses_kexec(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.load_disabled, world.kernel_can = True, False
    world.online(2)
    assert ask(world).outcome is Outcome.FAILED
    monkeypatch.setattr(FakeSystem, "loader", lambda _: LoaderChoice.FADUMP)
    assert ask(world).outcome is Outcome.RELOADED
