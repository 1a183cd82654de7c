# SPDX-License-Identifier: GPL-2.0-or-later
"""The listener's loop: uevents in, storms answered one by one. Unprivileged; executes nothing.

It holds no picture of the machine. It knows that something may have changed, asks the kernel once whether it
keeps the image current, and root's part to see to the image where that is called for.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from kdumphpd import memo, messages, state
from kdumphpd.backoff import Backoff
from kdumphpd.client import RearmUnavailable, longest
from kdumphpd.config import Config, Verify
from kdumphpd.kernel import crash_hotplug
from kdumphpd.kernel.loaded import armed_now
from kdumphpd.kernel.memory import block_size
from kdumphpd.messages import MessageId
from kdumphpd.policy import Action, Decision, decide
from kdumphpd.protocol import Outcome, Result, Verb
from kdumphpd.storm import Coalescer, Storm, Uevent
from kdumphpd.uevents import Lost, Monitor

log = structlog.get_logger()

# Somebody may be loading an image while the machine changes: until that is done, none is to be seen, and the kernel
# updates none. So an image that appears this long after a change is looked at.
LOAD_MAY_TAKE = 120.0  # seconds
WATCH_PAUSE = 1.0  # seconds

# Opening the uevent socket again after it failed.
REOPEN_PAUSE = 1.0  # seconds

# Asks root's part for a verb, with a limit in seconds. Raises RearmUnavailable.
Request = Callable[[Verb, float], Awaitable[Result]]

FINE = frozenset({Outcome.CURRENT, Outcome.TRUSTED, Outcome.RELOADED, Outcome.NOTHING_LOADED, Outcome.DEFERRED})
RIGHT = FINE - {Outcome.RELOADED, Outcome.DEFERRED}


class Listener:
    """`notify` is sd_notify: assignments such as STATUS=…, one a line."""

    def __init__(self, root: Path, config: Config, request: Request, notify: Callable[[str], object]) -> None:
        self._root = root
        self._config = config
        self._request = request
        self._notify = notify
        self._coalescer = Coalescer(config.storm.quiet, config.storm.max_delay)
        self._stirred = asyncio.Event()  # the coalescer has opened a storm
        self._backoff = Backoff()
        self._retry: asyncio.TimerHandle | None = None
        self._verb = Verb.UPGRADE  # until root's part has seen to an image once
        self._monitor: Monitor | None = None
        self._state = state.State(started=time.time(), status="has just started", healthy=True, receive_buffer=0)

    async def run(self) -> None:
        """Listen and answer until cancelled. Raises OSError where uevents can't be had at all at start."""
        # Listen first, look afterwards: what happens between the two would be lost otherwise.
        self._listen()
        self._assume("kdumphpd has just started")
        try:
            while True:
                storm = await self._next_storm()
                await self._answer(storm)
        finally:
            self._deafen()

    def reconfigure(self, config: Config) -> None:
        self._config = config
        self._coalescer.quiet = config.storm.quiet
        self._coalescer.max_delay = config.storm.max_delay

    def publish(self) -> None:
        """Write the state file and STATUS=."""
        self._notify(f"STATUS={self._state.status}")
        self._state.pending = self._coalescer.storm is not None
        try:
            state.write(self._root, self._state)
        except OSError as error:
            log.warning(f"cannot write {self._root / state.STATE}: {error.strerror}; kdumphpctl shows an old state")

    # --- hearing ------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._monitor = Monitor()
        self._state.receive_buffer = self._monitor.receive_buffer
        asyncio.get_running_loop().add_reader(self._monitor.fileno(), self._hear)

    def _deafen(self) -> None:
        if self._monitor is not None:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor.close()
            self._monitor = None

    def _hear(self) -> None:
        assert self._monitor is not None  # noqa: S101 - it is what called us
        try:
            batch = self._monitor.read()
        except OSError as error:
            self._deafen()
            log.error(f"the uevent socket failed, it is opened anew: {error}", id=MessageId.EVENTS_LOST)
            self._reopen()
            return
        now = time.monotonic()
        for item in batch:
            match item:
                case Lost(why=why):
                    self._lose(why)
                case Uevent(synthetic=True):
                    self._state.synthetic += 1
                case Uevent():
                    self._state.events += 1
                    if self._coalescer.feed(item, now):
                        self._stirred.set()

    def _reopen(self) -> None:
        try:
            self._listen()
        except OSError as error:
            log.error(f"cannot listen to uevents: {error}; trying again", id=MessageId.EVENTS_LOST)
            asyncio.get_running_loop().call_later(REOPEN_PAUSE, self._reopen)
            return
        self._lose("the uevent socket had to be opened anew")

    def _lose(self, why: str) -> None:
        self._state.overflows += 1
        log.warning(f"uevents were lost: {why}; taking everything as changed", id=MessageId.EVENTS_LOST)
        self._assume(why)

    def _assume(self, why: str) -> None:
        self._coalescer.assume(why, time.monotonic())
        self._stirred.set()

    async def _next_storm(self) -> Storm:
        while True:
            if (storm := self._coalescer.close(time.monotonic())) is not None:
                return storm
            deadline = self._coalescer.deadline()
            if deadline is None:
                self._stirred.clear()
                await self._stirred.wait()
            else:
                await asyncio.sleep(max(0.0, deadline - time.monotonic()))

    # --- answering ----------------------------------------------------------------------------------------

    async def _answer(self, storm: Storm) -> None:
        """See to the image after one storm, and say so. What arrives meanwhile opens the next one."""
        # In a thread: a second read may be waited for, and the socket has to be emptied meanwhile.
        capability = await asyncio.to_thread(crash_hotplug.look, self._root, storm.touched)
        decision = decide(capability, storm.touched, owed=memo.is_owed(self._root))
        try:
            result = await self._see_to(decision)
        except RearmUnavailable as error:
            self._failed(storm, decision, None, MessageId.REARM_UNAVAILABLE, str(error))
            return
        message_id, sentence = messages.what_was_done(decision, result, heard=storm.events > 0)
        if result is not None and result.outcome not in FINE:
            self._failed(storm, decision, result, message_id, sentence)
            return
        self._forget_retry()
        self._backoff.succeeded()
        deferred = result is not None and result.outcome is Outcome.DEFERRED
        say = log.warning if deferred else log.info
        self._report(storm, decision, result, message_id, sentence, say, healthy=not deferred)
        if result is not None and deferred:
            self._put_off(result.wait)
        if _nothing_loaded(decision, result):
            self._watch_for_image(time.monotonic() + LOAD_MAY_TAKE)

    def _put_off(self, wait: float) -> None:
        """Another look once root's part may reload again; whatever changes until then is part of that one."""
        now = time.monotonic()
        self._coalescer.not_before = now + wait
        self._assume("a reload was put off")

    def _watch_for_image(self, until: float) -> None:
        """Look at an image that somebody was loading. Reading crash_loaded takes no lock."""
        with contextlib.suppress(OSError):
            if armed_now(self._root):
                self._assume("an image was loaded meanwhile")
                return
        if time.monotonic() < until:
            self._retry = asyncio.get_running_loop().call_later(WATCH_PAUSE, self._watch_for_image, until)

    async def _see_to(self, decision: Decision) -> Result | None:
        """Ask root's part where that is called for; None where it is not."""
        verified = decision.action is Action.KERNEL and self._config.verify.image is Verify.ALWAYS
        if decision.action is not Action.RELOAD and not verified:
            return None
        self._notify("STATUS=Seeing to the kdump image")
        result = await self._request(self._verb, longest(self._config))
        if result.armed and result.outcome is not Outcome.DEFERRED:
            self._verb = Verb.REARM
        return result

    def _failed(
        self,
        storm: Storm,
        decision: Decision,
        result: Result | None,
        message_id: MessageId,
        sentence: str,
    ) -> None:
        """Shout, and try again. A reload that left the image stale would do so again: that one is only said."""
        retry = result is None or result.outcome is not Outcome.STALE
        if retry:
            pause = self._backoff.failed()
            sentence += f"; trying again in {pause:g} s"
            self._forget_retry()
            self._retry = asyncio.get_running_loop().call_later(pause, self._assume, "the last attempt failed")
        self._state.failures += 1
        self._report(storm, decision, result, message_id, sentence, log.error, healthy=False)

    def _forget_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _report(
        self,
        storm: Storm,
        decision: Decision,
        result: Result | None,
        message_id: MessageId,
        done: str,
        say: Callable[..., object],
        *,
        healthy: bool,
    ) -> None:
        """One storm, in the journal and in the state file. `done` is the second half of its sentence."""
        sentence = f"{messages.what_changed(storm, block_size(self._root))}: {done}"
        say(sentence, id=message_id, **_fields(storm, decision, result))
        reloaded = result is not None and result.seconds > 0
        was_right = result is None or result.outcome in RIGHT
        unprotected = result.unprotected if result else 0.0
        self._state.last = state.LastStorm(
            ended=time.time(),
            sentence=sentence,
            events=storm.events,
            action=decision.action,
            reason=decision.reason,
            outcome=result.outcome if result else "",
            seconds=result.seconds if result else 0.0,
            unprotected=unprotected,
            stale=0.0 if was_right else time.monotonic() - storm.opened,
        )
        self._state.healthy = healthy
        self._state.status = _status(decision, result, healthy=healthy)
        self._state.storms += 1
        self._state.reloads += reloaded
        self._state.unprotected += unprotected
        self.publish()


def _nothing_loaded(decision: Decision, result: Result | None) -> bool:
    """Whether there was no image to see to, by our own look or by root's."""
    return decision.action is Action.LEAVE_ALONE or (result is not None and result.outcome is Outcome.NOTHING_LOADED)


def _status(decision: Decision, result: Result | None, *, healthy: bool) -> str:
    """STATUS= of systemctl status: how things stand, in one line."""
    if result is not None and result.outcome is Outcome.DEFERRED:
        return f"The kdump image is out of date; looking at it again in {result.wait:.0f} s"
    if not healthy:
        if result is None or result.outcome is Outcome.REFUSED:
            return "The rearm step does not answer; the kdump image may be out of date"
        if not result.armed:
            return "UNPROTECTED: no kdump image is loaded, trying again"
        return "The kdump image is out of date; see the journal"
    if _nothing_loaded(decision, result):
        return "No kdump image is loaded, and none was loaded by us; nothing to keep armed"
    by_kernel = result.kernel_updates if result else decision.action is Action.KERNEL
    return "Armed; the kernel keeps the image current" if by_kernel else "Armed; reloading when the machine changes"


def _counts(storm: Storm) -> dict[str, object]:
    """A storm as journal fields."""
    fields: dict[str, object] = {
        "events": storm.events,
        "duration": storm.duration,
        "counts": " ".join(f"{s}:{action}={n}" for (s, action), n in sorted(storm.counts.items())),
        "first_event": storm.first_event,
        "last_event": storm.last_event,
        "cpus_came": storm.cpus_came,
        "cpus_went": storm.cpus_went,
        "blocks_came": storm.blocks_came,
        "blocks_went": storm.blocks_went,
        "assumed": storm.assumed,
    }
    return {key: value for key, value in fields.items() if str(value)}


def _fields(storm: Storm, decision: Decision, result: Result | None) -> dict[str, object]:
    """The structured fields of a storm's journal entry."""
    fields = {**_counts(storm), "action": decision.action, "reason": decision.reason}
    if result is not None:
        fields |= {
            "outcome": result.outcome,
            "loader": result.loader,
            "way": result.way,
            "seconds": result.seconds,
            "unprotected": result.unprotected,
        }
    return fields
