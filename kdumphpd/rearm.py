# SPDX-License-Identifier: GPL-2.0-or-later
"""Root's part: look at the loaded image, load it anew where that is needed, look again, answer, exit.

Started by systemd for one connection (kdumphpd-rearm@.service), with the socket as standard input. It takes one
verb and no parameter; what is loaded, and how, comes from root's configuration alone.
"""

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from kdumphpd import config, journal, memo
from kdumphpd.config import Config, Verify
from kdumphpd.image.examine import examine
from kdumphpd.image.reader import Image
from kdumphpd.image.verdict import State, Verdict
from kdumphpd.kernel import crash_hotplug
from kdumphpd.kernel.crash_hotplug import Answer, Capability
from kdumphpd.kernel.kmsg import complaints
from kdumphpd.kernel.loaded import image_loaded
from kdumphpd.lock import locked
from kdumphpd.messages import REASONS, MessageId
from kdumphpd.policy import Action, Reason, decide
from kdumphpd.protocol import (
    MAX_LINE,
    Outcome,
    Progress,
    ProtocolError,
    Result,
    Verb,
    decode_verb,
    encode,
)
from kdumphpd.reload import LOADERS, choose
from kdumphpd.reload.gap import GapMeter
from kdumphpd.reload.run import LoadFailed
from kdumphpd.storm import Subsystem

log = structlog.get_logger()

TURN_TIMEOUT = 60.0  # seconds for requests before this one
REQUEST_TIMEOUT = 5.0  # seconds; whoever connects and says nothing does not keep the place

Say = Callable[[str], None]  # tells the other side of a step that begins


def main() -> None:
    journal.configure("kdumphpd-rearm")
    with socket.socket(fileno=sys.stdin.fileno()) as client:
        client.settimeout(REQUEST_TIMEOUT)
        send(client, answer(client, Path("/")))


def answer(client: socket.socket, root: Path) -> Result:
    """Serve the one request of `client`."""
    try:
        verb = decode_verb(read_line(client))
    except (ProtocolError, OSError) as error:
        log.warning(f"refused a request: {error}")
        return Result(outcome=Outcome.REFUSED, detail=str(error))

    def say(step: str) -> None:
        send(client, Progress(step=step))

    try:
        settings = config.load(root)
        with turn(root):
            return verify(root) if verb is Verb.VERIFY else rearm(root, settings, say)
    except config.ConfigError as error:
        log.error(f"cannot see to the kdump image: {error}", id=MessageId.CONFIG_REFUSED)
        failure: Exception = error
    except OSError as error:  # of files below /sys and /run; what a loader meets is a LoadFailed
        log.error(f"cannot see to the kdump image: {error}", id=MessageId.RELOAD_FAILED)
        failure = error
    return Result(outcome=Outcome.FAILED, detail=str(failure), armed=is_armed(root))


@contextlib.contextmanager
def turn(root: Path) -> Iterator[None]:
    """One request at a time sees to the image. Raises OSError."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(root / memo.TURN, TURN_TIMEOUT))
        except TimeoutError as error:
            raise TimeoutError(f"another request takes too long: {error}") from error
        yield


def is_armed(root: Path) -> bool:
    """Whether an image is loaded, for an answer that must not fail."""
    try:
        return image_loaded(root)
    except OSError:
        return False


def read_line(client: socket.socket) -> bytes:
    """The request. Raises ProtocolError, or OSError where the other side says nothing."""
    line = b""
    while not line.endswith(b"\n"):
        piece = client.recv(MAX_LINE)
        if not piece or len(line) + len(piece) > MAX_LINE:
            raise ProtocolError("the request is not a line")
        line += piece
    return line


def send(client: socket.socket, message: Progress | Result) -> None:
    # Whoever asked may be gone, or may not read: neither stops a reload.
    with contextlib.suppress(OSError):
        client.sendall(encode(message))


def verify(root: Path) -> Result:
    """Look at the image and change nothing."""
    image, verdict = examine(root, root / memo.LAYOUT_CACHE)
    outcome = {
        State.CURRENT: Outcome.CURRENT,
        State.STALE: Outcome.STALE,
        State.NO_IMAGE: Outcome.NOTHING_LOADED,
        State.UNREADABLE: Outcome.UNREADABLE,
    }[verdict.state]
    return Result(
        outcome=outcome, detail=words(verdict), armed=image_loaded(root), kernel_updates=is_updatable(image) or False
    )


def words(verdict: Verdict | None) -> str:
    """What is wrong with the image, or why that can't be told; empty where it is right or nobody looked."""
    return verdict.sentence() if verdict and verdict.state in (State.STALE, State.UNREADABLE) else ""


def is_updatable(image: Image | None) -> bool | None:
    """Whether the kernel keeps this image current from now on; None where the image could not be read."""
    return image.kimage.updatable if image else None


def rearm(root: Path, settings: Config, say: Say) -> Result:
    """Bring the image up to date, if it is not and if there is one."""
    image, verdict = None, None
    if settings.verify.image is not Verify.NEVER:
        say("reading the loaded image")
        image, verdict = examine(root, root / memo.LAYOUT_CACHE)
    detail = words(verdict)
    complaint = new_complaint(root)
    if verdict is None or verdict.state is State.UNREADABLE:
        # Only now, for it takes the kexec lock: the kernel's word.
        capability = crash_hotplug.look(root)
        detail = "; ".join(filter(None, (detail, complaint)))
    else:
        loaded = verdict.state is not State.NO_IMAGE
        capability = Capability(loaded=loaded, cpu=Answer.UNREADABLE, memory=Answer.UNREADABLE)
    decision = decide(capability, Subsystem, verdict, owed=memo.is_owed(root), complained=bool(complaint))
    if decision.reason is Reason.IMAGE_STALE and detail == memo.unmended(root):
        return Result(outcome=Outcome.STALE, reason=decision.reason, detail=detail, armed=True)
    if decision.action is Action.RELOAD:
        return reload(root, settings, say, decision.reason, detail)
    memo.settle(root)  # whoever loaded the image that is there now has kept the promise
    memo.set_unmended(root, "")
    outcome = {
        Action.LEAVE_ALONE: Outcome.NOTHING_LOADED,
        Action.NOTHING: Outcome.CURRENT,
        Action.KERNEL: Outcome.TRUSTED,
    }[decision.action]
    return Result(
        outcome=outcome,
        reason=decision.reason,
        detail=detail,
        armed=capability.loaded,
        kernel_updates=decision.action is Action.KERNEL or is_updatable(image) or False,
    )


def new_complaint(root: Path) -> str:
    """What the kernel said of a failed update since the last look; empty for nothing. Marks it as answered."""
    try:
        found = complaints(root, memo.answered(root))
    except OSError as error:
        log.warning(f"cannot read the kernel's messages, so its own word is all there is: {error}")
        return ""
    if not found:
        return ""
    memo.set_answered(root, found[-1].sequence)
    return f"the kernel said {found[-1].text!r}"


def reload(root: Path, settings: Config, say: Say, reason: Reason, detail: str) -> Result:
    """Load the image anew and look at what came of it. `detail` says what was wrong with the old one."""
    log.info(f"reloading the kdump image: {detail or REASONS[reason]}")
    meter = GapMeter(root)
    loader, failure = "", ""
    try:
        loader = choose(root, settings)
        memo.promise(root)
        say(f"loading the image with {loader}")
        with meter:
            LOADERS[loader](root, settings)
    except (LoadFailed, OSError) as error:
        failure = str(error)
    armed = image_loaded(root)
    if armed:
        memo.settle(root)
    elif not failure:
        failure = f"{loader} reported success, but no image is loaded"
    outcome, kernel_updates = Outcome.FAILED, False
    if failure:
        log.error(f"the reload failed: {failure}", id=MessageId.RELOAD_FAILED)
        detail = failure
    else:
        outcome, kernel_updates, detail = check(root, settings, say, detail)
    return Result(
        outcome=outcome,
        reason=reason,
        detail=detail,
        loader=loader,
        seconds=meter.seconds,
        unprotected=meter.unprotected,
        armed=armed,
        kernel_updates=kernel_updates,
    )


def check(root: Path, settings: Config, say: Say, detail: str) -> tuple[Outcome, bool, str]:
    """What came of a load that went well by its loader's word: outcome, whether the kernel updates it, detail."""
    outcome, updatable = Outcome.RELOADED, None
    if settings.verify.image is not Verify.NEVER:
        say("reading the new image")
        image, verdict = examine(root, root / memo.LAYOUT_CACHE)
        updatable = is_updatable(image)
        if verdict.state is State.STALE:
            outcome, detail = Outcome.STALE, words(verdict)
        memo.set_unmended(root, detail if outcome is Outcome.STALE else "")
    if updatable is None:
        updatable = crash_hotplug.look(root).covers(Subsystem)
    return outcome, updatable, detail


if __name__ == "__main__":
    main()
