# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking root's part for a verb: the other end of kdumphpd-rearm.socket."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from kdumphpd.config import Config
from kdumphpd.protocol import MAX_LINE, SOCKET, Progress, ProtocolError, Result, Verb, decode

# What may each take as long as a loader: the distribution's unit, its lock, and the ways to load.
STEPS = 5

# Start, turn, and the looks at the image.
MARGIN = 90.0  # seconds


class RearmUnavailable(Exception):  # noqa: N818 - a state of affairs, not a mistake
    """Root's part gave no result; the message says what happened and where to look."""


def longest(config: Config) -> float:
    """Seconds that a request may take: each of its waits and loads to the limit, and our own part."""
    return STEPS * config.reload.timeout + MARGIN


async def request(
    root: Path, verb: Verb, timeout: float, on_progress: Callable[[str], None] = lambda step: None
) -> Result:
    """The result of `verb`, in at most `timeout` seconds. Raises RearmUnavailable."""
    path = root / SOCKET
    try:
        async with asyncio.timeout(timeout):
            return await _converse(path, verb, on_progress)
    except TimeoutError as error:
        raise RearmUnavailable(
            f"the rearm step gave no result within {timeout:g} s; see journalctl -u 'kdumphpd-rearm@*'"
        ) from error
    except OSError as error:
        raise RearmUnavailable(
            f"cannot talk to the rearm step through {path}: {error.strerror or error}; "
            "see systemctl status kdumphpd-rearm.socket"
        ) from error


async def _converse(path: Path, verb: Verb, on_progress: Callable[[str], None]) -> Result:
    reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
    try:
        writer.write(f"{verb}\n".encode())
        await writer.drain()
        while line := await reader.readline():
            match decode(line):
                case Progress(step=step):
                    on_progress(step)
                case Result() as result:
                    return result
    except (ProtocolError, ValueError) as error:  # ValueError: a line beyond the limit
        raise RearmUnavailable(f"the rearm step answered out of order: {error}") from error
    except ConnectionError:
        pass  # closed before it read what we said: a hang-up like that below
    finally:
        writer.close()
    raise RearmUnavailable(
        "the rearm step hung up without a result: it died, or too many ask at once; "
        "see journalctl -u 'kdumphpd-rearm@*'"
    )
