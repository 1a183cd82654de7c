# SPDX-License-Identifier: GPL-2.0-or-later
"""Listener, decision and reload together, against a machine on which everything happens and anything fails.

See model/: a fake clock, a kernel, a distribution's unit and an operator. The listener's Schedule, the helper's
pipeline, the record and the watch for others who load are the real ones.
"""

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kdumphpd.config import Config, Verify
from kdumphpd.helper import record
from kdumphpd.image.verdict import ImageState
from kdumphpd.load.units import RUNNING, wanting
from kdumphpd.protocol import Request
from kdumphpd.runtime import reload_pending
from tests.property.model.kernel import BLOCKS, CPUS, Clock, Kernel, Kind
from tests.property.model.listener import Listener
from tests.property.model.machine import LONGEST, Machine
from tests.property.model.strategies import (
    BY_THE_OPERATOR,
    CONFIGS,
    DISTRIBUTIONS,
    FAULTS,
    KINDS,
    MOMENTS,
    SECONDS,
)
from tests.property.model.surroundings import Distribution, HelperUnavailable, Hung, Killed, Obstacles

Happening = Callable[[], None]


class Model(RuleBasedStateMachine):
    @initialize(
        kind=KINDS, config=CONFIGS, distribution=DISTRIBUTIONS, armed=st.sampled_from([True, True, True, False])
    )
    def boot(self, kind: Kind, config: Config, distribution: Distribution, *, armed: bool) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="model")
        self.kernel = Kernel(kind, Clock())
        self.always_read = kind.readable and config.verify.image is Verify.ALWAYS
        if not self.always_read:  # nobody could know
            distribution = replace(distribution, misses=frozenset())
        self.machine = Machine(Path(self.folder.name), self.kernel, config, replace(distribution))
        self.kernel.emit = self.uevent
        self.listener: Listener | None = None
        self.deaf = False
        if armed:
            self.start_unit()
        self.listener = Listener(self.machine)

    def uevent(self, event: object) -> None:
        if self.listener is not None and not self.deaf:
            self.listener.uevent(event)  # type: ignore[arg-type]

    # --- the machine changes -------------------------------------------------------------------------------------

    @rule(blocks=st.sets(st.sampled_from(BLOCKS), min_size=1), online=st.booleans(), seconds=SECONDS)
    def memory(self, blocks: set[int], seconds: float = 0.0, *, online: bool) -> None:
        for block in sorted(blocks):
            self.kernel.memory(block, online=online)
        self.time_passes(seconds)

    @rule(number=st.sampled_from(CPUS), online=st.booleans(), removed=st.booleans(), seconds=SECONDS)
    def cpu(self, number: int, seconds: float = 0.0, *, online: bool, removed: bool) -> None:
        self.kernel.cpu(number, online=online, removed=removed)
        self.time_passes(seconds)

    @precondition(lambda self: self.listener)
    @rule(block=st.sampled_from(BLOCKS), times=st.integers(20, 60))
    def a_burst_that_max_delay_cuts(self, block: int, times: int) -> None:
        assert self.listener is not None
        for _ in range(times):
            self.kernel.memory(block, online=block not in self.kernel.blocks)
            self.listener.run_until(self.kernel.clock.now + 0.5)

    @precondition(lambda self: self.listener)
    @rule(blocks=st.sets(st.sampled_from(BLOCKS)), online=st.booleans(), later=st.sampled_from([0.0, 3.0]))
    def uevents_are_lost(self, blocks: set[int], *, online: bool, later: float) -> None:
        assert self.listener is not None
        self.deaf, self.listener.receiving = True, later == 0.0
        self.memory(blocks, online=online) if blocks else self.cpu(1, online=online, removed=False)
        self.listener.run_until(self.kernel.clock.now + later)
        self.deaf = False
        self.listener.lost("the socket failed")

    # --- time and processes --------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.3, 40.0, 700.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        if self.listener is None:
            self.kernel.clock.now += seconds
        else:
            self.listener.run_until(self.kernel.clock.now + seconds)

    @rule()
    def the_daemon_stops(self) -> None:
        self.listener = None

    @rule()
    def the_daemon_starts(self) -> None:
        self.listener = Listener(self.machine)

    # --- what fails ----------------------------------------------------------------------------------------------

    @rule(fault=FAULTS)
    def something_fails(self, fault: tuple[str, object]) -> None:
        setattr(self.machine.obstacles, *fault)

    @rule(fault=FAULTS, seconds=SECONDS)
    def a_reload_meets_an_obstacle(self, fault: tuple[str, object], seconds: float) -> None:
        self.something_fails(fault)
        self.something_changes()
        self.time_passes(seconds)
        self.machine.obstacles = Obstacles()

    @rule(moment=MOMENTS, how=st.sampled_from([Killed, Killed, Killed, Hung]), seconds=SECONDS)
    def the_helper_dies(self, moment: int, how: type[BaseException], seconds: float) -> None:
        def die() -> None:
            raise how

        self.something_changes()
        self.machine.plan[moment] = die
        self.time_passes(seconds)

    @rule(seconds=SECONDS)
    def it_works_again(self, seconds: float) -> None:
        self.machine.obstacles = Obstacles()
        self.time_passes(seconds)

    @rule(blocks=st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=3, unique=True), seconds=SECONDS)
    def updates_of_the_kernel_fail(self, blocks: list[int], seconds: float) -> None:
        for block in blocks:
            self.kernel.no_room = True
            self.kernel.memory(block, online=block not in self.kernel.blocks)
            self.kernel.no_room = False
            self.time_passes(seconds)

    def something_changes(self) -> None:
        block = min(BLOCKS)
        self.kernel.memory(block, online=block not in self.kernel.blocks)

    @rule()
    def the_record_is_damaged(self) -> None:
        self.machine.corrupt_record()

    @rule(moment=MOMENTS, what=st.sampled_from(["memory", "cpu", "silent", "not_ready", "slow"]), seconds=SECONDS)
    def something_happens_meanwhile(self, moment: int, what: str, seconds: float) -> None:
        """At an operation of a request."""
        happenings: dict[str, Happening] = {
            "memory": lambda: self.kernel.memory(3, online=3 not in self.kernel.blocks),
            "cpu": lambda: self.kernel.cpu(1, online=1 not in self.kernel.online),
            "slow": lambda: self.machine.pass_time(200.0),
        }
        self.something_changes()
        self.machine.plan[moment] = happenings.get(what) or (lambda: self.something_fails((what, True)))
        self.time_passes(seconds)

    # --- the operator --------------------------------------------------------------------------------------------

    @rule(
        moment=MOMENTS, what=st.sampled_from(BY_THE_OPERATOR), then=st.sampled_from(BY_THE_OPERATOR), seconds=SECONDS
    )
    def the_operator_acts_meanwhile(self, moment: int, what: str, then: str, seconds: float) -> None:
        """At an operation of a request, and perhaps at a later one."""
        self.start_unit()
        self.something_changes()
        self.machine.plan[moment] = getattr(self, what)
        self.machine.plan[2 * moment] = getattr(self, then)
        self.time_passes(seconds)

    @rule()
    def start_unit(self) -> None:
        """`systemctl start` or `restart`: loads with what the distribution's loader gives to kexec."""
        distribution = self.machine.distribution
        distribution.becomes("active")
        if distribution.enabled == "masked":
            distribution.enabled = "disabled"
        if self.kernel.locked:
            self.machine.wanted = None  # its kexec is refused, and the unit is active all the same
        self.load_by_hand(distribution.updatable, distribution.safe)

    @rule(updatable=st.booleans(), safe=st.booleans())
    def load_by_hand(self, updatable: bool = False, safe: bool = False) -> None:
        kernel = self.kernel
        if kernel.locked:
            return  # "Device or resource busy"
        kernel.load(set(kernel.blocks), set(kernel.present), updatable=updatable, safe=safe, ours=False)
        known = record.read(self.machine.root).machine
        if kernel.image is not None and known is not None:
            # Where it can't be read, what an earlier one described is taken for what this one does.
            kernel.image.elusive = known != kernel.fingerprint()
        if kernel.image is not None and safe != self.machine.distribution.safe:
            kernel.image.elusive = True  # and for as safe as what the loader would load
        # What is stopped and started again within one request may be unloaded by that: it has seen the stop.
        self.machine.wanted = None if self.machine.stopped_meanwhile else True

    @rule()
    def unload_by_hand(self) -> None:
        """Nobody else learns of it: where a reload of ours has begun, the image may be missing because of that."""
        if self.kernel.image is None or self.kernel.locked:
            return
        self.kernel.drop()
        open_reload = self.machine.helper_works or reload_pending(self.machine.root)
        self.machine.wanted = None if open_reload else False

    @rule()
    def stop_unit(self) -> None:
        machine, unit = self.machine, self.machine.distribution
        if unit.active == "inactive":
            return
        known = self.a_stop_would_be_known()
        unit.becomes("inactive")
        if not self.kernel.locked:
            self.kernel.drop()
        machine.wanted = False if known else None
        machine.stopped_meanwhile = machine.helper_works

    def a_stop_would_be_known(self) -> bool:
        """Where no reload of ours is open, or it has noted that the unit ran."""
        pending = record.read(self.machine.root).pending
        return pending is None or any(unit.active in RUNNING for unit in pending.units)

    @rule(how=st.sampled_from(["enabled", "disabled", "masked"]))
    def enable_or_disable(self, how: str) -> None:
        unit = self.machine.distribution
        stops = unit.active not in RUNNING and unit.enabled == "enabled" and how != "enabled"
        if stops and reload_pending(self.machine.root) and self.machine.wanted:
            self.machine.wanted = None  # whoever disables it then wants no image to be loaded by that reload
        unit.enabled = how

    @rule(request=st.sampled_from([Request.REARM, Request.REARM_NOW]))
    def root_asks_the_helper(self, request: Request) -> None:
        with contextlib.suppress(HelperUnavailable):
            self.machine.request(request)

    # --- what has to hold ----------------------------------------------------------------------------------------

    @invariant()
    def at_every_moment(self) -> None:
        if getattr(self, "listener", None) is not None:
            assert self.listener is not None
            self.listener.check()

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            try:
                self.everything_works_again_and_time_passes()
            finally:
                self.folder.cleanup()

    @rule()
    def everything_works_again_and_time_passes(self) -> None:
        self.machine.obstacles = Obstacles()
        self.machine.plan.clear()
        self.listener = self.listener or Listener(self.machine)
        self.listener.run_until(self.kernel.clock.now + 2 * LONGEST)
        image, wanted = self.kernel.image, self.machine.wanted
        if wanted is True:
            assert image is not None, "an image that is wanted is not loaded"
        if wanted is False:
            assert image is None, "an image that is not wanted is loaded"
        verdict = self.kernel.verdict()
        if image is not None and (image.elusive or verdict.state is ImageState.UNSAFE) and not self.always_read:
            return
        if image is None and wanting((self.machine.distribution.state(),)):
            assert not self.listener.healthy, "missing although a unit wants it, and called healthy"
        elif image is None or verdict.state is ImageState.CURRENT:
            assert self.listener.healthy, "right, and called unhealthy"
        else:
            assert not self.listener.healthy, f"wrong, and called healthy: {verdict.sentence()}"


def test_whatever_happens_the_image_ends_right_or_the_state_says_that_it_is_not() -> None:
    run_state_machine_as_test(Model, settings=settings(max_examples=300, stateful_step_count=40, derandomize=True))


@pytest.mark.long
def test_a_hundred_thousand_steps() -> None:
    run_state_machine_as_test(Model, settings=settings(max_examples=2500, stateful_step_count=40))
