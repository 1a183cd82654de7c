# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading with a command of the operator's: program and arguments, no shell."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kdumphpd.config import Config
from kdumphpd.reload.run import APART, LoadFailed, run_apart
from kdumphpd.reload.way import Method, Way

UNITS: tuple[str, ...] = (APART,)


def is_installed(root: Path, config: Config) -> bool:
    return bool(config.reload.command)


def ways(root: Path, config: Config) -> list[Way]:
    """Raises LoadFailed."""
    argv = config.reload.command
    if not argv:
        raise LoadFailed('loader = "command" needs one: set command in [reload] to a program and its arguments')
    return [Way(argv[0], Method.OWN, partial(run_apart, argv))]


@contextlib.contextmanager
def lock(root: Path, config: Config) -> Iterator[None]:
    """What has to be locked, the command knows."""
    yield
