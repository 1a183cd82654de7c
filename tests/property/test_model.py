# SPDX-License-Identifier: GPL-2.0-or-later
"""The listener's schedule and the helper's decisions together, against a machine on which everything may go wrong.

What is real: Schedule, and serve() with all that it calls; what is not is in tests/unit/helper/world.py.
"""

import copy

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kdumphpd.config import Config, ReloadConfig
from kdumphpd.helper.serve import serve
from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener.coalesce import Uevent
from kdumphpd.listener.schedule import FINE, PENDING_LONGEST, Ask, Schedule
from kdumphpd.protocol import Outcome, Request, Result
from tests.unit.helper.world import FakeSystem, Killed, World

POLL = 3.0  # seconds
CPUS, BLOCKS = range(1, 4), range(2, 6)
KEXEC = ("works", "refuses", "dies")


class Model(RuleBasedStateMachine):
    """One machine, one listener at a time, and requests to the helper as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(hotpluggable=True)
        self.world.image = self.world.new_image(updatable=False, safe=False)
        self.config = Config()
        self.wanted = True  # an image is loaded, or was taken down by us
        self.helper = "answers"  # or "silent", "unreachable"
        self.answer: Result | None = None
        self.said_reloaded = False
        self.start()

    # --- the daemon, as listener/loop.py runs it -------------------------------------------------------------------

    def start(self) -> None:
        self.schedule = Schedule()
        self.receiving = True
        self.schedule.start(self.world.now)
        self.loaded = self.world.image is not None
        self.marks = self.look()
        self.answer = None

    def look(self) -> tuple[bool, int, str]:
        return self.world.image is not None, self.world.changed, repr(self.world.record)

    def run_until(self, end: float) -> None:
        """Let time pass, with whatever is due in it."""
        steps = 0
        while True:
            deadline = self.schedule.deadline()
            at = min(end, self.world.now + POLL if end - self.world.now < 60 else end)
            if deadline is not None:
                at = min(at, max(deadline, self.world.now))
            self.world.now = at
            self.poll()
            if self.schedule.asked is not None and self.schedule.deadline() == at:
                self.schedule.unanswered("no result", at)  # the helper hangs, and its time is over
            while (ask := self.schedule.due(at)) is not None:
                self.serve(ask)
                steps += 1
                assert steps < 3000, "requests without end"
                if self.schedule.asked is not None:
                    break
            if at >= end:
                return

    def poll(self) -> None:
        marks = self.look()
        if self.schedule.asked is None and marks != self.marks and (marks[0] or self.marks[1:] != marks[1:]):
            self.schedule.replaced("somebody else", self.world.now)
        self.marks = marks
        self.see()

    def see(self) -> None:
        loaded = self.world.image is not None
        pending = self.world.record.pending is not None
        self.schedule.set_pending(not loaded and pending, self.world.now)

    def serve(self, ask: Ask) -> None:
        self.see()
        if self.world.image is None and not self.schedule.pending and self.answer is not None:
            self.schedule.skip(self.world.now)
            self.answer = Result(Outcome.NOT_LOADED)
            return
        if self.helper == "silent":
            return
        if self.helper == "unreachable":
            self.schedule.unanswered("cannot talk to the helper", self.world.now)
            return
        result = self.request(ask.request)
        if result is None:
            self.schedule.unanswered("the helper was killed", self.world.now)
        else:
            self.answer = result
            self.schedule.answered(result, self.world.now)
            self.schedule.set_pending(result.pending and not result.armed, self.world.now)
        self.marks = self.look()

    def request(self, request: Request) -> Result | None:
        """The helper's work; None where it is killed in it."""
        record = copy.deepcopy(self.world.record)
        before = self.world.image
        loads = len(self.world.loads)
        try:
            result = serve(request, FakeSystem(self.world), record, self.config, lambda step: None)
        except Killed:
            return None
        finally:
            self.world.loading = 0
            self.world.kill_in = None
        if result.outcome is Outcome.RELOADED:
            assert len(self.world.loads) > loads, "reloaded is said only of a new image"
            assert self.world.image is not before
        if before is None and self.world.image is not None:
            assert self.wanted, "an image that the operator unloaded was loaded"
        return Result(**{**result.__dict__, "pending": record.pending is not None})

    # --- CPUs and memory -----------------------------------------------------------------------------------------

    def uevent(self, subsystem: Subsystem, action: str, number: int) -> None:
        if self.receiving:
            self.schedule.uevent(Uevent(subsystem, action, number), self.world.now)

    @rule(block=st.sampled_from(BLOCKS), busy=st.booleans())
    def memory(self, block: int, busy: bool) -> None:
        if block in self.world.blocks:
            self.world.offline(block, busy=busy)
            self.uevent(Subsystem.MEMORY, "offline", block)
        else:
            self.world.online(block, busy=busy)
            self.uevent(Subsystem.MEMORY, "online", block)

    @rule(cpu=st.sampled_from(CPUS), busy=st.booleans())
    def cpu(self, cpu: int, busy: bool) -> None:
        if cpu in self.world.cpus:
            self.world.remove_cpu(cpu)
            self.uevent(Subsystem.CPU, "remove", cpu)
        else:
            self.world.add_cpu(cpu, busy=busy)
            self.uevent(Subsystem.CPU, "add", cpu)

    @rule(action=st.sampled_from(["change", "bind"]), number=st.integers(0, 3))
    def irrelevant(self, action: str, number: int) -> None:
        self.uevent(Subsystem.CPU, action, number)

    @rule(block=st.sampled_from(BLOCKS))
    def unnoticed_then_overflow(self, block: int) -> None:
        (self.world.offline if block in self.world.blocks else self.world.online)(block)
        self.schedule.lost("overflow", self.world.now)

    @rule()
    def flood(self) -> None:
        """Events arrive for longer than max_delay."""
        for _ in range(30):
            self.uevent(Subsystem.CPU, "online", 0)
            self.run_until(self.world.now + 0.5)

    # --- time ----------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.2, 1.1, 3, 12, 61, 700, 4000]))
    def wait(self, seconds: float) -> None:
        self.run_until(self.world.now + seconds)

    # --- what goes wrong -----------------------------------------------------------------------------------------

    @rule(after=st.integers(0, 12))
    def kill_helper(self, after: int) -> None:
        self.world.kill_in = after

    @rule(how=st.sampled_from(["answers", "silent", "unreachable"]))
    def helper_becomes(self, how: str) -> None:
        self.helper = how

    @rule(how=st.sampled_from(KEXEC))
    def kexec_becomes(self, how: str) -> None:
        self.world.kexec = how

    @rule(
        what=st.sampled_from(
            [
                "recording",
                "files_ready",
                "record_writable",
                "systemd_answers",
                "readable",
                "has_loader",
                "load_disabled",
            ]
        )
    )
    def toggle(self, what: str) -> None:
        setattr(self.world, what, not getattr(self.world, what))

    @rule(share=st.sampled_from([0.05, 1.0]), updatable=st.booleans())
    def reconfigure(self, share: float, updatable: bool) -> None:
        self.config = Config(reload=ReloadConfig(max_unprotected=share, make_updatable=updatable))

    @rule()
    def restart_daemon(self) -> None:
        self.start()

    # --- the operator --------------------------------------------------------------------------------------------

    @rule(updatable=st.booleans(), safe=st.booleans())
    def operator_restarts_the_unit(self, updatable: bool, safe: bool) -> None:
        self.world.restart(updatable=updatable, safe=safe)
        self.wanted = True

    @precondition(lambda self: self.world.systemd_answers)
    @rule()
    def operator_stops_the_unit(self) -> None:
        # Known evidence where a reload was pending: the unit was active when that began.
        pending = self.world.record.pending
        known = pending is None or any(unit.active == "active" for unit in pending.units)
        self.world.stop()
        self.wanted = not known

    @precondition(lambda self: self.world.image is not None)
    @rule()
    def operator_unloads_by_hand(self) -> None:
        self.world.image = None
        self.world.record.pending = None
        self.wanted = False

    @precondition(lambda self: self.helper == "answers")
    @rule(request=st.sampled_from([Request.REARM, Request.REARM_NOW]))
    def operator_rearms(self, request: Request) -> None:
        if self.schedule.asked is None:
            self.request(request)

    # --- what always holds ---------------------------------------------------------------------------------------

    @property
    def healthy(self) -> bool:
        """As listener/loop.py says it."""
        schedule = self.schedule
        wrong = schedule.failure or schedule.wrong or schedule.pending or schedule.deferred_until is not None
        return self.receiving and not wrong

    @invariant()
    def every_wait_is_bounded(self) -> None:
        schedule = self.schedule
        if schedule.asked is not None:
            assert schedule.deadline() is not None
            return
        deadline = schedule.deadline()
        assert deadline is not None
        longest = schedule.interval + 1
        if schedule.pending and schedule.failure:
            longest = PENDING_LONGEST
        assert deadline <= self.world.now + longest

    @invariant()
    def it_is_never_green_while_something_known_is_wrong(self) -> None:
        if self.schedule.asked is None and self.answer is not None and self.healthy:
            assert self.answer.outcome in FINE
            assert not self.schedule.pending

    def teardown(self) -> None:
        """Everything works again, and nothing changes any more: then the image is right, or the state says not."""
        world = self.world
        self.helper, world.kexec, world.kill_in = "answers", "works", None
        world.recording = world.files_ready = world.record_writable = world.systemd_answers = True
        world.has_loader, world.load_disabled = True, False
        self.run_until(world.now + 12 * 3600)
        if self.schedule.asked is not None:
            self.run_until(world.now + 4 * 3600)
        if world.image is None:
            assert not self.wanted or not self.healthy, "no image, and the state says that all is well"
            assert world.record.pending is None, "what was taken down was not loaded again"
            return
        if self.healthy and world.readable:
            assert world.image.blocks == world.blocks
            assert world.image.cpus >= world.cpus
        assert self.healthy or not world.readable, (self.schedule.failure, self.schedule.wrong)


class TestModel(Model.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.long
class TestModelLong(Model.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(
        max_examples=1200,
        stateful_step_count=90,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
