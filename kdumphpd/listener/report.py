# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said: the sentence and the journal fields of a burst, counters, and STATUS=."""

import time

from kdumphpd.ids import IdSet
from kdumphpd.listener.coalesce import Burst
from kdumphpd.listener.schedule import FINE, RIGHT, Ask
from kdumphpd.messages import NOT_LOADED, size
from kdumphpd.protocol import Outcome, Result, Totals
from kdumphpd.state import Condition, LastBurst, State


def level(ask: Ask, result: Result) -> str:
    """How important an answer is."""
    if result.outcome is Outcome.DEFERRED or result.outcome is Outcome.UNSAFE:
        return "warning"
    if result.outcome not in FINE:
        return "error" if not result.known else "debug" if ask.routine else "notice"
    return "debug" if ask.routine and result.outcome in RIGHT else "info"


def what_happened(ask: Ask, block_bytes: int | None) -> str:
    """The first half of a sentence: "2 GiB of memory onlined (16 blocks, 32 events in 0.4 s)", "kdumphpd started"."""
    if ask.burst is None or not (ask.burst.events or ask.burst.lost or ask.burst.cut):
        return ask.why
    return what_changed(ask.burst, block_bytes)


def what_changed(burst: Burst, block_bytes: int | None) -> str:
    """A burst in words."""
    parts = [text for text in (*_memory(burst, block_bytes), *_cpus(burst)) if text]
    if burst.lost:
        parts.append(f"uevents were lost ({burst.lost})")
    if burst.cut and not parts:
        parts.append("the burst of uevents has settled")
    if not parts:
        parts.append("CPUs or memory were added and removed again")
    if burst.events <= 1:
        return ", ".join(parts)
    blocks = sum(len(burst.blocks.get(action, ())) for action in ("online", "offline"))
    counted = f"{blocks} block{'s' * (blocks > 1)}, " if blocks else ""
    return f"{', '.join(parts)} ({counted}{burst.events} events in {burst.duration:.1f} s)"


def _memory(burst: Burst, block_bytes: int | None) -> list[str]:
    onlined, offlined = (burst.blocks.get(action, IdSet()) for action in ("online", "offline"))
    added = IdSet(number for number in burst.blocks.get("add", ()) if number not in onlined)
    plural = "s" * (len(added) > 1)
    return [
        f"{_amount(onlined, block_bytes)} onlined" if onlined else "",
        f"{_amount(offlined, block_bytes)} offlined" if offlined else "",
        f"memory block{plural} {added} added, not online yet" if added else "",
    ]


def _amount(blocks: IdSet, block_bytes: int | None) -> str:
    if block_bytes:
        return f"{size(len(blocks) * block_bytes)} of memory"
    return f"{len(blocks)} memory block{'s' * (len(blocks) > 1)}"


def _cpus(burst: Burst) -> list[str]:
    sets = burst.cpus
    added, removed = sets.get("add", IdSet()), sets.get("remove", IdSet())
    onlined = IdSet(number for number in sets.get("online", ()) if number not in added)
    offlined = IdSet(number for number in sets.get("offline", ()) if number not in removed)
    named = (("added", added), ("onlined", onlined), ("removed", removed), ("offlined", offlined))
    return [f"CPU{'s' * (len(cpus) > 1)} {cpus} {verb}" for verb, cpus in named if cpus]


def fields(ask: Ask, result: Result | None, now: float) -> dict[str, object]:
    """The structured fields of a journal entry. `now`: the time by the clock that the burst's is of."""
    found: dict[str, object] = {"request": ask.request}
    if burst := ask.burst:
        found |= {"duration": burst.duration, "elapsed": now - burst.opened}
    if burst and not ask.again:  # or whoever adds them up counts them twice
        found |= {
            "events": burst.events,
            "counts": " ".join(f"{s}:{action}={n}" for (s, action), n in sorted(burst.counts.items())),
            "first_event": burst.first_event,
            "last_event": burst.last_event,
            "lost": burst.lost,
        }
        for name, sets in (("cpus", burst.cpus), ("blocks", burst.blocks)):
            found |= {f"{name}_{action}": numbers for action, numbers in sets.items() if numbers}
    if result is not None:
        found |= {
            "outcome": result.outcome,
            "reason": result.reason or "",
            "armed": "yes" if result.armed else "no",
            "loader": result.loader,
            "method": result.method,
            "seconds": result.seconds,
            "unprotected": result.unprotected,
        }
    return {key: value for key, value in found.items() if str(value)}


def by_others(done: Totals) -> str:
    """Reloads by the helper that the listener did not ask for, or has had no answer to."""
    times = f" {done.reloads} times" if done.reloads > 1 else ""
    return (
        f"the kdump image was reloaded{times} by kdumphpctl rearm, or by a helper that was killed before its answer "
        f"(unprotected for {done.unprotected:.2f} s)"
    )


def count(state: State, ask: Ask, result: Result, sentence: str, stale: float) -> None:
    """Add a request to the state. `stale`: seconds for which the image was wrong."""
    state.failures += result.outcome not in FINE | {Outcome.DEFERRED, Outcome.MISSING}
    state.reloads += bool(result.method)  # whatever was found out about the new image
    state.unprotected += result.unprotected
    if ask.burst is not None:
        state.bursts += not ask.again
        state.last_burst = LastBurst(
            ended=time.time(),
            sentence=sentence,
            events=ask.burst.events,
            outcome=result.outcome,
            reason=result.reason or "",
            seconds=result.seconds,
            unprotected=result.unprotected,
            stale=stale,
        )


def status(state: State, wait: float | None) -> str:
    """STATUS= of systemctl status: how things stand, in one line. `wait`: seconds until the next try."""
    check = state.last_check
    again = f"; next try in {wait:.0f} s" if wait is not None else "; see the journal"
    if check is not None and check.outcome == Outcome.MISSING and not state.loaded:
        return f"UNPROTECTED: no kdump image is loaded: {check.detail}"
    if not state.receiving:
        return "Uevents cannot be received; the kdump image may become out of date unnoticed"
    if state.pending and not state.loaded:
        return "UNPROTECTED: no kdump image is loaded; trying again"
    if state.deferred_until:
        return f"The kdump image is out of date: {check.detail if check else ''}{again}"
    if state.failure and check is None:
        return f"The helper does not answer; the kdump image may be out of date{again}"
    if state.failure and not state.loaded and state.loaded is not None:
        return f"No kdump image is loaded: {state.failure}{again}"
    if check is not None and check.outcome == Outcome.UNSAFE and state.loaded is not False:
        return f"The kdump image is unsafe: {check.detail}"
    if state.failure:
        return f"The kdump image may be out of date: {state.failure}{again}"
    if state.burst:
        return "A burst of CPU or memory uevents is being handled"
    if state.loaded is False or (check is not None and check.outcome == Outcome.NOT_LOADED):
        return f"{NOT_LOADED[0].upper()}{NOT_LOADED.partition(':')[0][1:]}"
    if check is None:
        return "Checking the kdump image"
    by_kernel = "the kernel updates the image by itself"
    return f"Armed; {by_kernel if check.kernel_updates else 'the image is reloaded when CPUs or memory change'}"


def note_condition(state: State, now: float) -> None:
    """Bring the condition up to date, and since when it has been so. `now`: seconds since the epoch."""
    condition = _condition(state)
    if condition != state.condition or not state.since:
        state.condition, state.since = condition, now


def _condition(state: State) -> Condition:
    if state.last_check is None and not state.failure:
        return Condition.CHECKING
    if state.loaded is False:
        return Condition.NOT_LOADED if state.healthy else Condition.UNPROTECTED
    return Condition.ARMED if state.healthy else Condition.WRONG


def unfinished(state: State) -> str:
    """What is left open by whoever stops now; empty for nothing."""
    parts = []
    if state.burst:
        parts.append("a burst of CPU or memory uevents that was not handled")
    if state.pending:
        parts.append("no kdump image loaded (a reload is pending)")
    if state.deferred_until:
        parts.append("a deferred reload of an image that is out of date")
    elif state.failure and not state.pending:
        parts.append(f"a kdump image that may be out of date ({state.failure})")
    return " and ".join(parts)
