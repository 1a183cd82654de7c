# SPDX-License-Identifier: GPL-2.0-or-later
"""Running a loader: bounded in time, with its output kept, and nothing left behind."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")

# What is kept of a loader's output: its last words say why it failed.
TAIL = 2000  # characters

# A loader's environment is ours alone: nothing of the caller's decides what root runs.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

# kexec-tools says it in the C library's words; both syscalls take a lock that every other load, an update by the
# kernel and a mere read of crash_hotplug hold too. Most of these are over in a moment.
BUSY = "Device or resource busy"
BUSY_PAUSE = 0.005  # seconds

# How often the processes of our unit are looked for: they may be quicker to start others than we to end them, and
# one that sleeps in the kernel can't be waited for.
ROUNDS = 100

SYSTEMD_RUN = "systemd-run"
APART = "kdumphpd-load.service"
SYSTEMD_MARGIN = 10.0  # seconds beyond the limit that systemd has been given

# The unit that root's part runs in, one a request: what is in its control group is ours to end.
UNIT = "kdumphpd-rearm@"


class LoadFailed(Exception):  # noqa: N818 - an outcome that the caller answers
    """The image was not loaded; the message says what was tried and what the system answered."""


class NotReady(LoadFailed):
    """A file that the image is made of can't be loaded; the image that is there was not touched."""


class CommandFailed(LoadFailed):
    """A command ended in failure: `status` is its exit status, below zero the signal that ended it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Withdrawn(Exception):  # noqa: N818 - an outcome that the caller answers
    """While an image was loaded the operator said that there shall be none, and there is none."""


def run_when_free(argv: Sequence[str], timeout: float) -> str:
    """`run`, again and again while somebody else holds the kexec lock. Raises LoadFailed."""
    return when_free(partial(run, argv), timeout)


def when_free(load: Callable[[float], T], timeout: float) -> T:
    """`load` with a limit in seconds, again and again while it fails for a busy lock. Raises LoadFailed."""
    end = time.monotonic() + timeout
    said = False
    while True:
        try:
            return load(max(1.0, end - time.monotonic()))
        except LoadFailed as error:
            if BUSY not in str(error) or time.monotonic() > end:
                raise
        if not said:
            log.info("another load or update of the kdump image holds the lock of the kernel; trying again")
            said = True
        time.sleep(BUSY_PAUSE)


def run_apart(argv: Sequence[str], timeout: float) -> str:
    """`run_when_free`, in a unit of its own: a distribution's or an operator's loader may build, mount and write.

    Our own unit could permit that only by permitting everything. systemd ends what takes longer than `timeout`,
    whatever becomes of us. Raises LoadFailed.
    """
    # systemd puts the environment's values in for "$NAME"; "$$" is a dollar sign.
    words = [word.replace("$", "$$") for word in argv]
    limits = [f"--property=TimeoutStartSec={timeout:.0f}", f"--property=TimeoutStopSec={SYSTEMD_MARGIN / 2:.0f}"]
    # oneshot: it is "activating" for as long as it runs, so that whoever comes next can wait for it (units.py).
    unit = [f"--unit={APART}", "--description=Load the kdump image", "--service-type=oneshot", "--collect"]
    # Not --quiet: how it ended, by its own status or by the limit, is said there alone.
    command = [SYSTEMD_RUN, "--wait", "--pipe", *unit, *limits, "--", *words]
    name = " ".join(argv[:2])
    try:
        return run_when_free(command, timeout + SYSTEMD_MARGIN)
    except CommandFailed as error:
        raise CommandFailed(f"{name}: {error}", error.status) from error
    except LoadFailed as error:
        raise LoadFailed(f"{name}: {error}") from error


def run(argv: Sequence[str], timeout: float) -> str:
    """The output of a command, both streams together. Raises LoadFailed; its children are ended at `timeout`."""
    words = " ".join(argv[:2])
    # Into memory: not a pipe, for a child that outlives the loader and holds its output is no reason to wait; not
    # a file, for a full disk is none to fail.
    with os.fdopen(os.memfd_create("output"), "r+b") as output:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            raise LoadFailed(f"cannot run {words}: {error.strerror}") from error
        with process:
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired as error:
                raise LoadFailed(f"{words} did not end within {round(timeout, 1):g} s and was killed") from error
            finally:
                # The whole group: a shell script's children would go on loading.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                end_others()
        output.seek(0)
        text = output.read().decode("utf-8", "replace").strip()
    if process.returncode != 0:
        said = text[-TAIL:] or "it said nothing"
        raise CommandFailed(f"{words} failed with status {process.returncode}: {said}", process.returncode)
    return text


def end_others(root: Path = Path("/")) -> None:
    """Kill every other process of our unit: what a loader has started in a session of its own is still its work."""
    with contextlib.suppress(OSError):  # outside of a unit of our own there is nothing that is ours to end
        path = (root / "proc/self/cgroup").read_text().rpartition("::")[2].strip()
        if not Path(path).name.startswith(UNIT):
            return
        members = root / "sys/fs/cgroup" / path.lstrip("/") / "cgroup.procs"
        for _ in range(ROUNDS):
            others = {int(word) for word in members.read_text().split()} - {os.getpid()}
            if not others:
                return
            for pid in others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(BUSY_PAUSE)
