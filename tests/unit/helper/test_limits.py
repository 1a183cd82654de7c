# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps the helper from a reload: the rate limit, and what only an operator can change."""

import pytest

from kdumphpd.config import Config, ReloadConfig
from kdumphpd.helper.record import Pending
from kdumphpd.protocol import Outcome, Request
from tests.unit.helper.asking import ask
from tests.unit.helper.world import World


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


def test_all_attempts_of_one_reload_and_the_time_between_them_count(world: World) -> None:
    world.image = world.new_image(updatable=False, safe=True)
    world.online(2)
    world.kexec = "dies"
    for _ in range(7):
        assert ask(world).outcome is Outcome.FAILED
        world.now += 50
    world.kexec = "works"
    assert ask(world).outcome is Outcome.RELOADED
    assert 330 < world.record.unprotected < 360
    assert world.record.unprotected_total == pytest.approx(world.record.unprotected)
    world.now += 10_000
    world.online(3, busy=True)
    ask(world)
    assert world.record.unprotected < 1
