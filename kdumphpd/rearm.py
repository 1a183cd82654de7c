# SPDX-License-Identifier: GPL-2.0-or-later
"""Root's part: look at the loaded image, load it anew where that is needed, look again, answer, exit.

Started by systemd for one connection (kdumphpd-rearm@.service), with the socket as standard input. It takes one
verb and no parameter; what is loaded, and how, comes from root's configuration alone.
"""

import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from kdumphpd import config, journal, memo, reload, sight
from kdumphpd.config import Config
from kdumphpd.image.examine import examine
from kdumphpd.image.verdict import State
from kdumphpd.kernel import crash_hotplug
from kdumphpd.kernel.kmsg import complaints
from kdumphpd.kernel.loaded import image_loaded
from kdumphpd.lock import locked
from kdumphpd.memo import Memo
from kdumphpd.messages import MessageId
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
from kdumphpd.reload.run import LoadFailed
from kdumphpd.replace import Say, left_alone, remember, replace
from kdumphpd.sight import Sight
from kdumphpd.storm import Subsystem

log = structlog.get_logger()

TURN_TIMEOUT = 60.0  # seconds for requests before this one
REQUEST_TIMEOUT = 5.0  # seconds; whoever connects and says nothing, or a byte now and then, does not keep the place


def main() -> None:
    journal.configure("kdumphpd-rearm")
    with socket.socket(fileno=sys.stdin.fileno()) as client:
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

    client.settimeout(REQUEST_TIMEOUT)  # for what we say: whoever does not read it does not stop us
    try:
        settings = configuration(root)
        with turn(root):
            return verify(root) if verb is Verb.VERIFY else rearm(root, settings, say, verb)
    except config.ConfigError as error:
        log.error(f"cannot see to the kdump image: {error}", id=MessageId.CONFIG_REFUSED)
        failure: Exception = error
    except OSError as error:  # of files below /sys and /run; what a loader meets is a LoadFailed
        log.error(f"cannot see to the kdump image: {error}", id=MessageId.RELOAD_FAILED)
        failure = error
    return Result(outcome=Outcome.FAILED, detail=str(failure), armed=is_armed(root))


def configuration(root: Path) -> Config:
    """The configuration, or the last good one of this boot while a file is in error. Raises ConfigError."""
    kept = root / memo.CONFIGURATION
    try:
        settings = config.load(root)
    except config.ConfigError as error:
        try:
            settings = config.recall(kept)
        except config.ConfigError:
            raise error from None
        log.error(f"{error}; going on with the configuration as it was before", id=MessageId.CONFIG_REFUSED)
        return settings
    try:
        config.keep(settings, kept)
    except OSError as error:
        log.warning(f"cannot write {kept}: {error.strerror}; a later error in a file would stop root's part")
    return settings


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
    end = time.monotonic() + REQUEST_TIMEOUT
    while not line.endswith(b"\n"):
        client.settimeout(max(0.001, end - time.monotonic()))
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
    told = outcome in (Outcome.STALE, Outcome.UNREADABLE)
    return Result(
        outcome=outcome,
        detail=verdict.sentence() if told else "",
        armed=image_loaded(root),
        kernel_updates=image is not None and image.kimage.updatable,
    )


def rearm(root: Path, settings: Config, say: Say, verb: Verb = Verb.REARM) -> Result:
    """Bring the image up to date, if it is not and if there is one. Raises OSError."""
    memory = memo.read(root)
    say("reading the loaded image")
    seen = sight.look(root, settings, memory)
    complaint = new_complaint(root, memory)
    read = seen.current or seen.stale
    detail = seen.words if read else "; ".join(filter(None, (seen.words, complaint)))
    decision = decide(
        seen.capability,
        Subsystem,
        seen.verdict,
        owed=memory.owed,
        complained=bool(complaint),
        upgradable=verb is Verb.UPGRADE and is_upgradable(root, settings, memory, seen),
    )
    if decision.action is not Action.RELOAD:
        memory.owed = False  # whoever loaded the image that is there now has kept the promise
        memory.unmended = ""
        remember(root, memory)
        return left_alone(decision, seen, detail)
    unmended = decision.reason is Reason.IMAGE_STALE and memo.digest(detail) == memory.unmended
    wait = memory.free_at - time.monotonic()
    if unmended or (seen.capability.loaded and wait > 0):
        remember(root, memory)
        outcome = Outcome.STALE if unmended else Outcome.DEFERRED
        return Result(outcome=outcome, reason=decision.reason, detail=detail, armed=True, wait=max(0.0, wait))
    return replace(root, settings, say, memory, decision.reason, seen, detail)


def is_upgradable(root: Path, settings: Config, memory: Memo, seen: Sight) -> bool:
    """Whether the kernel could keep this image current, had it been loaded with permission to; asked once a boot."""
    if memory.upgraded or not settings.reload.upgrade or not seen.current or seen.kernel_updates:
        return False
    try:
        loader = reload.LOADERS[reload.choose(root, settings)]
        return crash_hotplug.is_known(root) and any(way.updatable for way in loader.ways(root, settings))
    except LoadFailed as error:
        log.warning(f"cannot tell whether the kernel could keep the image current: {error}")
        return False


def new_complaint(root: Path, memory: Memo) -> str:
    """What the kernel said of a failed update since the last look; empty for nothing. Marks it as answered."""
    try:
        found = complaints(root, memory.answered)
    except OSError as error:
        log.warning(f"cannot read the kernel's messages, so its own word is all there is: {error}")
        return ""
    if not found:
        return ""
    memory.answered = found[-1].sequence
    return f"the kernel said {found[-1].text!r}"


if __name__ == "__main__":
    main()
