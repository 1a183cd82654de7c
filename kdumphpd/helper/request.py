# SPDX-License-Identifier: GPL-2.0-or-later
"""One request: receive a word, answer it, exit.

Started by systemd for one connection (kdumphpd-helper@.service), with the socket as standard input. The word has no
parameter; what is loaded, and how, comes from root's configuration alone.
"""

import contextlib
import os
import socket
import struct
import sys
import time
from dataclasses import replace
from pathlib import Path

from kdumphpd import config_file, journal
from kdumphpd.config import Config
from kdumphpd.config_file import ConfigError
from kdumphpd.helper import record, system
from kdumphpd.helper.lock import Busy, request_lock
from kdumphpd.helper.serve import serve
from kdumphpd.kernel.loaded import image_loaded
from kdumphpd.messages import MessageId
from kdumphpd.protocol import (
    FOR_ROOT,
    MAX_LINE,
    REQUEST_TIMEOUT,
    NothingSaidError,
    Outcome,
    Progress,
    ProtocolError,
    Request,
    Result,
    Settings,
    Totals,
    decode_request,
    encode,
)
from kdumphpd.runtime import CONFIGURATION, reload_pending

log = journal.logger()

BUSY_PAUSE = 2.0  # seconds before whoever met another request asks again

SEND_TIMEOUT = 5.0  # seconds; whoever does not read what we say does not stop us

# Nothing was loaded over the image that is there, so what would be may not be known yet.
LEFT_ALONE = frozenset({Outcome.CURRENT, Outcome.UNVERIFIED, Outcome.UNSAFE})


def main() -> None:
    journal.configure("kdumphpd-helper")
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as client:
        result = answer(client, Path("/"))
        send(client, result)
        if result.outcome in LEFT_ALONE:
            prepare(client, Path("/"))
        hang_up(client)
    # A thread may still wait for a disk that does not answer (load/run.py): it must not keep us.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def answer(client: socket.socket, root: Path) -> Result:
    """Serve the one request of `client`."""
    try:
        request = receive(client)
    except (ProtocolError, OSError) as error:
        # The listener connects while a burst settles, to find us ready, and some bursts come to nothing.
        say = log.debug if isinstance(error, NothingSaidError) else log.warning
        say(f"refused a request: {error}")
        return Result(Outcome.REFUSED, detail=str(error))
    client.settimeout(SEND_TIMEOUT)
    if request is Request.CONFIGURATION:
        return configured(root)
    try:
        lock = request_lock(root)
    except Busy as error:
        return Result(Outcome.BUSY, detail=str(error), armed=is_armed(root), wait=BUSY_PAUSE)
    except OSError as error:
        log.error(f"cannot serve a request: {error}", id=MessageId.RELOAD_FAILED)
        return Result(Outcome.FAILED, detail=str(error), armed=is_armed(root))
    try:
        return locked(request, client, root)
    except Exception as error:
        # An OSError is of files below /sys and /run; what a loader meets is a LoadFailed. All else is a bug.
        say = log.error if isinstance(error, OSError) else log.exception
        say(f"cannot serve a request: {error}", id=MessageId.RELOAD_FAILED)
        return Result(Outcome.FAILED, detail=str(error), armed=is_armed(root), pending=reload_pending(root))
    finally:
        lock.release()


def locked(request: Request, client: socket.socket, root: Path) -> Result:
    """Serve a request while no other is served. Raises OSError."""
    try:
        config, error = configuration(root)
    except ConfigError as failure:
        return refused(root, failure)
    if error:
        log.error(f"{error}; going on with the configuration as it was before", id=MessageId.CONFIG_REFUSED)
    known = record.read(root)
    system.resume(root, known)

    def say(step: str) -> None:
        send(client, Progress(step))

    result = serve(request, system.RealSystem(root, config), known, config, say)
    totals = Totals(known.reloads, known.unprotected_total)
    return replace(result, pending=known.pending is not None, settings=settings(config), totals=totals)


def configured(root: Path) -> Result:
    """Whether the configuration is right, and what the listener needs of it. Waits for no other request."""
    try:
        config = config_file.load_kept(root, root / CONFIGURATION)
    except ConfigError as failure:
        return refused(root, failure)
    return Result(Outcome.CONFIGURED, armed=is_armed(root), settings=settings(config))


def refused(root: Path, failure: ConfigError) -> Result:
    log.error(f"the configuration is in error: {failure}", id=MessageId.CONFIG_REFUSED)
    return Result(Outcome.FAILED, detail=f"the configuration is in error: {failure}", armed=is_armed(root))


def settings(config: Config) -> Settings:
    return Settings(
        settle_time=config.events.settle_time,
        max_delay=config.events.max_delay,
        interval=config.verify.interval,
    )


def prepare(client: socket.socket, root: Path) -> None:
    """After the answer: have what the loader would run recorded ahead of need. No request waits for that.

    It may take minutes, where an initrd is due. The asker, if it still listens, is told of what may change its mind:
    where the image can't be read, the loader's command line says whether it is safe.
    """
    try:
        config, _ = configuration(root)
        unread = not record.read(root).image
    except (ConfigError, OSError):
        return
    if system.RealSystem(root, config).prepare() and unread:
        send(client, Progress("what the loader would load is known now"))


def configuration(root: Path) -> tuple[Config, str]:
    """The configuration, or the last one of this boot that was right and what is wrong with the files now.

    Raises ConfigError where there is none.
    """
    kept = root / CONFIGURATION
    try:
        return config_file.load_kept(root, kept), ""
    except ConfigError as error:
        try:
            return config_file.recall(kept), str(error)
        except ConfigError:
            raise error from None


def is_armed(root: Path) -> bool:
    """Whether an image is loaded, for an answer that must not fail."""
    try:
        return image_loaded(root)
    except OSError:
        return False


def receive(client: socket.socket) -> Request:
    """The request. Raises ProtocolError and OSError."""
    line = b""
    end = time.monotonic() + REQUEST_TIMEOUT
    while not line.endswith(b"\n"):
        client.settimeout(max(0.001, end - time.monotonic()))
        try:
            piece = client.recv(MAX_LINE)
        except TimeoutError as error:
            raise (
                ProtocolError("the request is not a line") if line else NothingSaidError("it said nothing")
            ) from error
        if not piece and not line:
            raise NothingSaidError("it said nothing")
        if not piece or len(line) + len(piece) > MAX_LINE:
            raise ProtocolError("the request is not a line")
        line += piece
    request = decode_request(line)
    if request in FOR_ROOT and _peer(client) != 0:
        raise ProtocolError(f"{request} is for root alone")
    return request


def _peer(client: socket.socket) -> int:
    """The uid of whoever asks (SO_PEERCRED, unix(7))."""
    _, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


def send(client: socket.socket, message: Progress | Result) -> None:
    # Whoever asked may be gone, or may not read: neither stops a reload.
    with contextlib.suppress(OSError):
        client.sendall(encode(message))


def hang_up(client: socket.socket) -> None:
    """End the connection itself, not this descriptor of it: a process that hangs in the kernel keeps its others."""
    with contextlib.suppress(OSError):  # who asked has
        client.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()
