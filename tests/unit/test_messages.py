# SPDX-License-Identifier: GPL-2.0-or-later
"""What operators read, word for word."""

import pytest

from kdumphpd.messages import BECAUSE, MessageId, size, what_was_done
from kdumphpd.protocol import Outcome, Reason, Result

LOST = "1 GiB (0x100000000-0x13fffffff) is missing from the elfcorehdr"


@pytest.mark.parametrize(
    ("result", "changed", "expected"),
    [
        (Result(Outcome.CURRENT, armed=True), False, "the loaded kdump image is up to date"),
        (Result(Outcome.CURRENT, armed=True, kernel_updates=True), True, "the kernel updated the kdump image"),
        (
            Result(Outcome.UNVERIFIED, detail='verify.image is "never"', armed=True, kernel_updates=True),
            False,
            'the kernel updates the kdump image by itself (verify.image is "never")',
        ),
        (
            Result(Outcome.NOT_LOADED),
            True,
            "no kdump image is loaded (it was unloaded, or kdump is stopped or not set up): nothing to update",
        ),
        (
            Result(
                Outcome.RELOADED,
                Reason.NOT_UPDATABLE,
                seconds=1.24,
                unprotected=0.2,
                armed=True,
                kernel_updates=True,
                method="kexec -c --hotplug",
            ),
            True,
            "reloaded the kdump image in 1.2 s (unprotected for 0.20 s), because the kernel could not update it; "
            "the kernel updates the new image by itself",
        ),
        (
            Result(Outcome.DEFERRED, Reason.STALE, LOST, armed=True, wait=11.6),
            True,
            f"reload deferred by 12 s (reload.max_unprotected); until then: {LOST}",
        ),
        (
            Result(Outcome.STALE, Reason.STALE, LOST, armed=True, seconds=1, unprotected=0.1, method="kexec -s"),
            True,
            "reloaded the kdump image in 1.0 s (unprotected for 0.10 s), because it did not describe the machine, "
            f"but the image is still out of date: {LOST}; not trying again before the next change, because no load "
            "method sees that",
        ),
        (
            Result(Outcome.UNSAFE, Reason.UNSAFE, "it was to be reloaded, and could not: x", armed=True, retry=False),
            False,
            "the image is unsafe: it was to be reloaded, and could not: x",
        ),
        (
            Result(Outcome.FAILED, detail="kexec failed with status 1: no", armed=True),
            True,
            "the kdump image could not be reloaded: kexec failed with status 1: no; the old kdump image is still "
            "loaded",
        ),
        (
            Result(Outcome.FAILED, detail="kexec failed with status 1: no"),
            True,
            "the kdump image could not be reloaded: kexec failed with status 1: no; UNPROTECTED: no kdump image is "
            "loaded",
        ),
    ],
)
def test_the_sentence(result: Result, changed: bool, expected: str) -> None:
    assert what_was_done(result, changed=changed)[1] == expected


def test_an_image_that_was_loaded_too_early_is_a_reload_and_no_deferral() -> None:
    done = Result(
        Outcome.DEFERRED, Reason.STALE, LOST, seconds=1, unprotected=0.1, armed=True, wait=1, method="kexec"
    )
    message, sentence = what_was_done(done)
    assert message is MessageId.RELOADED
    assert "but the machine changed meanwhile" in sentence


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_sentence_without_a_hole(outcome: Outcome) -> None:
    for reason in (None, *Reason):
        _, sentence = what_was_done(Result(outcome, reason, "detail"))
        assert sentence
        assert "None" not in sentence


def test_every_reason_to_reload_can_be_said() -> None:
    kept = {Reason.NOT_LOADED, Reason.CURRENT, Reason.UNCHANGED, Reason.KERNEL_UPDATES, Reason.UNLOADED}
    assert set(BECAUSE) == set(Reason) - kept


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (2 << 30, "2 GiB"), (3 << 29, "1.5 GiB"), (256 << 20, "256 MiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
