# SPDX-License-Identifier: GPL-2.0-or-later
"""Running commands: bounded in time, with their output kept, and nothing left behind."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from kdumphpd import journal, runtime
from kdumphpd.kernel.limits import read_limits
from kdumphpd.load.leftovers import end_others

log = journal.logger()

T = TypeVar("T")

# What is kept of a failed command's output: its last words say why it failed.
TAIL = 2000  # characters
MAX_OUTPUT = 1 << 20  # bytes of a command's output that are read at all

# A command's environment is ours alone: nothing of the caller's decides what root runs.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8"}

# kexec-tools says it in the C library's words; both syscalls take a lock that every other load, an update by the
# kernel and a mere read of crash_hotplug hold too. Most of these are over in a moment. What is busy for longer is
# something else, such as a mount in the script of a distribution.
BUSY = "Device or resource busy"
BUSY_PAUSE = 0.005  # seconds
BUSY_LIMIT = 30.0  # seconds
COUNTED_PAUSE = 1.0  # seconds; where the kernel limits the calls it has counted this one before it tried the lock

# A process that sleeps in the kernel (state D) outlives SIGKILL until its device answers, perhaps for ever.
KILL_WAIT = 5.0  # seconds
HUNG = "a disk or server may be gone; `journalctl -k` tells of one that does not answer"

LOAD_UNIT = "kdumphpd-load.service"
OUTPUT = f"{runtime.FOLDER}/output"
SYSTEMD_RUN = "systemd-run"
SYSTEMCTL = "systemctl"
SYSTEMCTL_LIMIT = 25.0  # seconds; systemd's own for a call
STOP_LIMIT = 5  # seconds between SIGTERM and SIGKILL
SYSTEMD_MARGIN = 2 * STOP_LIMIT + 5.0  # seconds beyond its limit in which systemd has ended a unit
OOM_SCORE = -900  # the helper's: what restores the image is not the first to go when memory runs out
KILLED, DUMPED = "2", "3"  # ExecMainCode: CLD_KILLED and CLD_DUMPED of waitid(2)


class LoadFailed(Exception):  # noqa: N818 - an outcome that the caller answers
    """The image was not loaded; the message says what was tried and what the system answered."""


class NotReady(LoadFailed):
    """A file that the image is made of can't be loaded; the image that is there was not touched."""


class CommandFailed(LoadFailed):
    """A command failed: `status` is its exit status, below zero the signal that ended it; `said`, its last words."""

    def __init__(self, message: str, status: int, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


def run_when_free(argv: Sequence[str], limit: float) -> str:
    """`run`, again and again while somebody else holds the kexec lock. Raises LoadFailed."""
    return when_free(partial(run, argv), limit)


def when_free(load: Callable[[float], T], limit: float, root: Path = Path("/")) -> T:
    """`load` with a limit in seconds, again and again while it fails for a busy lock. Raises LoadFailed.

    The kernel's last call is left for another time.
    """
    begin = time.monotonic()
    said = False
    while True:
        try:
            return load(max(1.0, begin + limit - time.monotonic()))
        except LoadFailed as error:
            calls = read_limits(root).calls
            if BUSY not in str(error) or time.monotonic() > begin + min(limit, BUSY_LIMIT) or calls in (0, 1):
                raise
        if not said:
            log.info("another load or update of the kdump image holds the lock of the kernel; trying again")
            said = True
        time.sleep(BUSY_PAUSE if calls is None else COUNTED_PAUSE)


def bounded(function: Callable[[], T], seconds: float, what: str) -> T:
    """`function` in a thread of its own: a dead NFS server or multipath device hangs whoever asks it for a file.

    Raises what `function` raises, or LoadFailed where it takes longer than `seconds`; `what` is the subject of that
    sentence. The thread is then left to itself: it can't be ended, and does not keep us from ending.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def call() -> None:
        try:
            results.append(function())
        except Exception as error:  # raised again below
            errors.append(error)

    thread = threading.Thread(target=call, name="bounded", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise LoadFailed(f"{what} did not answer within {seconds:g} s: {HUNG}")
    return results[0]


def run(argv: Sequence[str], limit: float, stdin: int | None = None) -> str:
    """The output of a command, both streams together. Raises LoadFailed; its children are ended at `limit` (seconds).

    `stdin` is a file descriptor, by default of an empty file.
    """
    import subprocess  # 10 ms, for requests that run something

    words = " ".join(argv[:2])
    # Into memory: not a pipe, for a child that outlives the command and holds its output is no reason to wait; not
    # a file, for a full disk is none to fail.
    with os.fdopen(os.memfd_create("output"), "r+b") as output:
        try:
            # Not as a context manager: that waits for the process at its end, without a limit.
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            raise LoadFailed(f"cannot run {words}: {error.strerror}") from error
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired as error:
            _end(process.pid)
            try:
                process.wait(KILL_WAIT)
            except subprocess.TimeoutExpired:
                process.returncode = -signal.SIGKILL  # or its destructor complains that it was not waited for
                within = f"within {round(limit, 1):g} s, nor {KILL_WAIT:g} s after it was killed"
                raise LoadFailed(f"{words} did not end {within}: {HUNG}") from error
            raise LoadFailed(f"{words} did not end within {round(limit, 1):g} s and was killed") from error
        finally:
            _end(process.pid)
        text = _tail(output.fileno(), MAX_OUTPUT)
    if process.returncode != 0:
        said = text[-TAIL:]
        status = process.returncode
        raise CommandFailed(f"{words} failed with status {status}: {said or 'it said nothing'}", status, said)
    return text


def _end(group: int) -> None:
    """Kill what a command has started: the whole group, for a shell script's children would go on loading."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    end_others()


def run_in_unit(
    argv: Sequence[str],
    limit: float,
    properties: Sequence[str] = (),
    unit: str = LOAD_UNIT,
    description: str = "Load the kdump image",
    root: Path = Path("/"),
) -> str:
    """`run_when_free` in a transient unit: a distribution's or an operator's loader may build, mount and write.

    Our own unit could permit that only by permitting everything. systemd ends what takes longer than `limit`
    (seconds), whatever becomes of us. `properties` are more of the unit's ("KeyringMode=shared"). Of the output the
    last 2000 characters come back. Raises LoadFailed.
    """
    return when_free(lambda left: _run_in_unit(argv, left, properties, unit, description, root), limit, root)


def _run_in_unit(
    argv: Sequence[str], limit: float, properties: Sequence[str], unit: str, description: str, root: Path
) -> str:
    # Neither --wait nor --pipe: they need the system bus, which a machine may lack or lose. Without them root's
    # systemd-run talks to systemd itself, and returns when the job is done: for a oneshot, when it has ended.
    name = " ".join(argv[:2])
    with contextlib.ExitStack() as stack:
        output, target = None, "journal"
        try:
            output = stack.enter_context(fresh_file(root / OUTPUT))
            # Not "truncate": a script that writes to /dev/stderr opens this file again, and what it writes through
            # its first descriptor would leave a hole there.
            target = f"append:{root / OUTPUT}"
        except OSError as error:  # a full /run is no reason to leave the machine without an image
            log.warning(f"cannot keep what {name} says in /{OUTPUT} ({error.strerror}): it goes to the journal alone")
        settings = [
            f"StandardOutput={target}",
            "StandardError=inherit",
            f"TimeoutStartSec={limit:.0f}",
            f"TimeoutStopSec={STOP_LIMIT}",
            "OOMPolicy=continue",
            f"OOMScoreAdjust={OOM_SCORE}",
            *properties,
        ]
        # oneshot: it is "activating" for as long as it runs, so that whoever comes next can wait for it (units.py).
        command = [SYSTEMD_RUN, "--quiet", f"--unit={unit}", f"--description={description}", "--service-type=oneshot"]
        # systemd puts the environment's values in for "$NAME"; "$$" is a dollar sign.
        command += [*(f"--property={setting}" for setting in settings), "--", *(w.replace("$", "$$") for w in argv)]
        try:
            _start_unit(command, unit, limit + SYSTEMD_MARGIN)
        except CommandFailed as error:
            said = _tail(output, TAIL * 4)[-TAIL:] if output is not None else ""
            raise _unit_failure(name, unit, limit, said) or LoadFailed(f"cannot run {name}: {error}") from error
        except LoadFailed as error:
            raise LoadFailed(f"{name}: {error}") from error
        return _tail(output, TAIL * 4)[-TAIL:] if output is not None else ""


def _start_unit(command: list[str], unit: str, limit: float) -> None:
    try:
        run(command, limit)
    except CommandFailed as error:
        # One that has failed stays until somebody has read why. A helper that was killed never did.
        if "already loaded" not in error.said or _show(unit).get("ActiveState") != "failed":
            raise
        _reset(unit)
        run(command, limit)


def _unit_failure(name: str, unit: str, limit: float, said: str) -> LoadFailed | None:
    """Why the unit has failed; None where systemd has not even started it, or knows nothing of it."""
    state = _show(unit)
    if state.get("ActiveState") != "failed":
        return None
    _reset(unit)
    said = said or "it said nothing"
    if state.get("Result") == "timeout":
        return LoadFailed(f"{name} did not end within {limit:.0f} s and was ended by systemd: {said}")
    status = int(state.get("ExecMainStatus") or 1)
    if state.get("ExecMainCode") in (KILLED, DUMPED):
        status = -status
    # Other than by its status: "oom-kill", "resources" and the like.
    why = "" if (result := state.get("Result", "")) in ("exit-code", "signal", "") else f" ({result})"
    return CommandFailed(f"{name} failed with status {status}{why}: {said}", status, said)


def _show(unit: str) -> dict[str, str]:
    properties = "--property=ActiveState,Result,ExecMainCode,ExecMainStatus"
    try:
        lines = run([SYSTEMCTL, "show", properties, unit], SYSTEMCTL_LIMIT).splitlines()
    except LoadFailed:
        return {}
    return dict(line.partition("=")[::2] for line in lines)


def _reset(unit: str) -> None:
    with contextlib.suppress(LoadFailed):  # then the next one says what is in its way
        run([SYSTEMCTL, "reset-failed", unit], SYSTEMCTL_LIMIT)


@contextlib.contextmanager
def fresh_file(path: Path) -> Iterator[int]:
    """A new and empty file that root alone can read, whatever was there. Raises OSError."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _tail(fd: int, size: int) -> str:
    """The last `size` bytes of an open file as text."""
    begin = max(0, os.fstat(fd).st_size - size)
    return os.pread(fd, size, begin).decode("utf-8", "replace").replace("\0", "").strip()
