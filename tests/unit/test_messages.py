# SPDX-License-Identifier: GPL-2.0-or-later
import re
from pathlib import Path

import pytest

from kdumphpd.messages import REASONS, MessageId, size, what_changed, what_was_done
from kdumphpd.policy import Action, Decision, Reason
from kdumphpd.protocol import Outcome, Result
from kdumphpd.storm import Coalescer, Storm, Subsystem, Uevent

BLOCK = 128 << 20
CATALOG = Path(__file__).parents[2] / "systemd/kdumphpd.catalog"


def storm(*events: tuple[Subsystem, str, int], seconds: float = 0.0, assumed: str = "") -> Storm:
    """Events spread evenly over `seconds`."""
    coalescer = Coalescer(quiet=1.0, max_delay=1000.0)
    if assumed:
        coalescer.assume(assumed, 0.0)
    for index, (subsystem, action, number) in enumerate(events):
        coalescer.feed(Uevent(subsystem, action, number), seconds * index / max(1, len(events) - 1))
    closed = coalescer.close(10000.0)
    assert closed is not None
    return closed


def blocks(*actions: str, count: int = 1, first: int = 32) -> list[tuple[Subsystem, str, int]]:
    return [(Subsystem.MEMORY, action, first + i) for i in range(count) for action in actions]


def cpus(action: str, *numbers: int) -> list[tuple[Subsystem, str, int]]:
    return [(Subsystem.CPU, action, number) for number in numbers]


# --- what changed -----------------------------------------------------------------------------------------


def test_memory_that_grew_is_told_in_bytes_blocks_events_and_seconds() -> None:
    grown = storm(*blocks("add", "online", count=16), seconds=0.4)
    assert what_changed(grown, BLOCK) == "memory grew by 2 GiB (16 blocks, 32 events in 0.4 s)"


def test_memory_is_told_in_blocks_where_their_size_is_not_known() -> None:
    assert what_changed(storm(*blocks("online", count=2), seconds=0.1), None) == (
        "memory grew by 2 blocks (2 blocks, 2 events in 0.1 s)"
    )


def test_memory_that_shrank_by_one_block() -> None:
    assert what_changed(storm(*blocks("offline", "remove"), seconds=0.1), BLOCK) == (
        "memory shrank by 128 MiB (1 block, 2 events in 0.1 s)"
    )


def test_one_event_is_not_counted_out() -> None:
    assert what_changed(storm(*cpus("online", 1)), BLOCK) == "CPU 1 came"


def test_several_cpus_are_named_as_ranges() -> None:
    assert (
        what_changed(storm(*cpus("online", 4, 5, 6, 9), seconds=1.0), BLOCK) == "CPUs 4-6,9 came (4 events in 1.0 s)"
    )


def test_what_came_and_what_went_are_told_together() -> None:
    mixed = storm(*blocks("online"), *cpus("offline", 3), seconds=0.2)
    assert what_changed(mixed, BLOCK) == "memory grew by 128 MiB, CPU 3 went (1 block, 2 events in 0.2 s)"


def test_memory_that_is_added_and_stays_offline_is_not_said_to_have_grown() -> None:
    assert what_changed(storm(*blocks("add", count=8), seconds=0.1), BLOCK) == (
        "memory blocks 32-39 added, not online yet (8 events in 0.1 s)"
    )


def test_what_came_and_went_within_the_storm_is_still_told() -> None:
    assert what_changed(storm(*blocks("add", "remove"), seconds=0.1), BLOCK) == (
        "CPUs or memory came and went (2 events in 0.1 s)"
    )


def test_an_assumption_alone_says_why() -> None:
    assert what_changed(storm(assumed="kdumphpd has just started"), BLOCK) == (
        "everything may have changed (kdumphpd has just started)"
    )


def test_an_assumption_beside_events_says_that_more_may_have_changed() -> None:
    said = what_changed(storm(*cpus("online", 1), assumed="messages were lost"), BLOCK)
    assert said == "CPU 1 came, more may have changed (messages were lost)"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (512, "512 bytes"),
        (BLOCK, "128 MiB"),
        (1536 << 20, "1.5 GiB"),
        (4 << 40, "4 TiB"),
        (5 << 60, "5120 PiB"),
    ],
)
def test_a_size_is_told_in_the_largest_unit_that_fits(count: int, text: str) -> None:
    assert size(count) == text


# --- what was done ----------------------------------------------------------------------------------------

KERNEL = Decision(Action.KERNEL, Reason.KERNEL_UPDATES)
RELOAD = Decision(Action.RELOAD, Reason.NOT_UPDATABLE)
ALONE = Decision(Action.LEAVE_ALONE, Reason.NOTHING_LOADED)


def result(outcome: Outcome, **fields: object) -> Result:
    return Result(outcome=outcome, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("decision", "answer", "message", "sentence"),
    [
        (ALONE, None, MessageId.NOTHING_LOADED, "no kdump image is loaded, and none was loaded by us; left alone"),
        (KERNEL, None, MessageId.KERNEL_UPDATED, "the kernel updated the kdump image itself"),
        (
            KERNEL,
            result(Outcome.CURRENT),
            MessageId.KERNEL_UPDATED,
            "the kernel updated the kdump image itself",
        ),
        (
            KERNEL,
            result(Outcome.TRUSTED, detail="the loaded image cannot be read: lockdown"),
            MessageId.KERNEL_UPDATED,
            "the kernel updated the kdump image itself (not verified: the loaded image cannot be read: lockdown)",
        ),
        (
            RELOAD,
            result(Outcome.CURRENT),
            MessageId.IMAGE_CURRENT,
            "the kdump image still describes the machine, nothing to do",
        ),
        (
            RELOAD,
            result(Outcome.RELOADED, seconds=1.2, unprotected=0.2, armed=True, kernel_updates=True),
            MessageId.RELOADED,
            "the loaded image cannot be updated by the kernel, reloaded in 1.2 s, 0.2 s without an image; "
            "from now on the kernel keeps it current",
        ),
        (
            Decision(Action.RELOAD, Reason.UNSUPPORTED),
            result(Outcome.RELOADED, seconds=3.0, unprotected=2.5, detail="2 GiB are missing"),
            MessageId.RELOADED,
            "this kernel does not update a loaded image (2 GiB are missing), "
            "reloaded in 3.0 s, 2.5 s without an image",
        ),
        (
            KERNEL,
            result(Outcome.RELOADED, seconds=1.0, unprotected=0.1, detail="CPU 2 not in the FDT"),
            MessageId.RELOADED,
            "the kernel says that it updates the kdump image itself, but CPU 2 not in the FDT, "
            "reloaded in 1.0 s, 0.1 s without an image",
        ),
        (
            RELOAD,
            result(Outcome.NOTHING_LOADED),
            MessageId.NOTHING_LOADED,
            "no kdump image is loaded, and none was loaded by us; left alone",
        ),
        (
            RELOAD,
            result(Outcome.STALE, seconds=1.0, unprotected=0.5, detail="2 GiB are missing", armed=True),
            MessageId.STILL_STALE,
            "reloaded in 1.0 s, 0.5 s without an image: 2 GiB are missing",
        ),
        (
            RELOAD,
            result(Outcome.STALE, detail="2 GiB are missing", armed=True),
            MessageId.STILL_STALE,
            "not reloaded again, for the last reload did not mend it: 2 GiB are missing",
        ),
        (
            RELOAD,
            result(Outcome.FAILED, detail="kexec failed with status 1: no memory", armed=True),
            MessageId.RELOAD_FAILED,
            "the kdump image could not be reloaded: kexec failed with status 1: no memory; "
            "the old kdump image is still loaded",
        ),
        (
            RELOAD,
            result(Outcome.FAILED, detail="no memory"),
            MessageId.RELOAD_FAILED,
            "the kdump image could not be reloaded: no memory; UNPROTECTED: no kdump image is loaded",
        ),
    ],
)
def test_the_second_half_says_who_saw_to_the_image(
    decision: Decision, answer: Result | None, message: MessageId, sentence: str
) -> None:
    assert what_was_done(decision, answer) == (message, sentence)


def test_where_nothing_is_known_to_have_changed_the_kernel_is_not_said_to_have_updated() -> None:
    sentence = "the kernel keeps the kdump image current"
    assert what_was_done(KERNEL, result(Outcome.CURRENT), heard=False) == (MessageId.KERNEL_UPDATED, sentence)
    assert what_was_done(KERNEL, None, heard=False) == (MessageId.KERNEL_UPDATED, sentence)


def test_a_refused_request_says_nothing_of_the_image() -> None:
    message, sentence = what_was_done(RELOAD, result(Outcome.REFUSED, detail="unknown request"))
    assert message is MessageId.REARM_UNAVAILABLE
    assert sentence == "the rearm step refused the request: unknown request"


def test_a_reload_that_was_put_off_says_what_is_wrong_why_it_waits_and_how_long() -> None:
    message, sentence = what_was_done(
        RELOAD, Result(outcome=Outcome.DEFERRED, reason="image-stale", detail="1 GiB is missing", wait=41.6)
    )
    assert message is MessageId.DEFERRED
    assert sentence == (
        "1 GiB is missing; not reloaded yet, for reloads may leave no image for a share of the time only; "
        "looking again in 42 s"
    )
    _, sentence = what_was_done(RELOAD, Result(outcome=Outcome.DEFERRED, reason="unsupported", wait=1.0))
    assert sentence.startswith("this kernel does not update a loaded image; not reloaded yet")


def test_a_machine_that_changed_while_the_image_was_loaded_is_looked_at_again() -> None:
    answer = Result(
        outcome=Outcome.DEFERRED, detail="1 GiB is missing", seconds=1.2, unprotected=0.2, armed=True, wait=3.8
    )
    assert what_was_done(RELOAD, answer)[1] == (
        "reloaded in 1.2 s, 0.2 s without an image, but the machine changed meanwhile (1 GiB is missing); "
        "looking again in 4 s"
    )


def test_every_reason_has_words() -> None:
    assert set(REASONS) == set(Reason)


# --- the catalog that explains them -----------------------------------------------------------------------


def test_every_message_is_explained_in_the_catalog_and_no_other() -> None:
    assert sorted(re.findall(r"^-- ([0-9a-f]{32})$", CATALOG.read_text(), re.MULTILINE)) == sorted(MessageId)
