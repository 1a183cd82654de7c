# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading as Debian's and Ubuntu's kdump-tools does.

kdump-config writes down the exact kexec command of its last load; the same command, run straight over the old
image, spares the unload and the preparations in between. Where there is none, or no image is left to lose,
kdump-config itself is asked.
"""

import contextlib
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from kdumphpd.config import Config
from kdumphpd.kernel.loaded import armed_now
from kdumphpd.lock import locked
from kdumphpd.reload import kexec
from kdumphpd.reload.run import APART, LoadFailed, Withdrawn, run, run_apart
from kdumphpd.reload.units import active_states, last_changes, wait_until_idle
from kdumphpd.reload.way import Method, Way

log = structlog.get_logger()

UNIT = "kdump-tools.service"
UNITS: tuple[str, ...] = (UNIT, APART)
KDUMP_CONFIG = "/usr/sbin/kdump-config"
DEFAULTS = "/etc/default/kdump-tools"
RECORDED = "kexec_cmd"  # in $KDUMP_COREDIR
LOCK = "kdump_lock"  # there too; what `kdump-config try-reload` holds

# What `kdump-config load` loads, links to this kernel's.
KERNEL = Path("/var/lib/kdump/vmlinuz")
INITRD = Path("/var/lib/kdump/initrd.img")

MAX_RECORDED = 65536  # bytes
SCRIPT_TIMEOUT = 10.0  # seconds


def is_installed(root: Path, config: Config) -> bool:
    return (root / KDUMP_CONFIG.lstrip("/")).exists()


def ways(root: Path, config: Config) -> list[Way]:
    """The recorded command first, then kdump-config. Raises LoadFailed."""
    own = Way("kdump-config reload", Method.OWN, partial(reload, root), kernel=KERNEL, initrd=INITRD)
    try:
        recorded = recorded_command(core_folder() / RECORDED)
    except LoadFailed as error:
        log.warning(f"no kexec command of kdump-tools can be used, so kdump-config has to do it: {error}")
        return [own]
    direct = kexec.direct_ways(recorded, config.reload.method, kexec.abilities(root))
    return [*(replace(way, load=partial(load_in_peace, root, way.load)) for way in direct), own]


def load_in_peace(root: Path, load: Callable[[float], object], timeout: float) -> None:
    """`load`, and then what kdump-tools.service was told to do meanwhile.

    Its unload and its load take no lock but the kernel's: they meet ours, or the image that it leaves, give up, and
    end in success all the same. Raises LoadFailed, or Withdrawn where the unit was stopped.
    """
    before = last_changes([UNIT])
    failure = None
    try:
        load(timeout)
    except LoadFailed as error:
        failure = error
    if last_changes([UNIT]) != before:
        wait_until_idle([UNIT], timeout)
        heed_stop(root, timeout)
        log.info(f"{UNIT} was at work meanwhile and may have met ours: loading the image once more, as it says now")
        reload(root, timeout)
    elif failure:
        raise failure


def heed_stop(root: Path, timeout: float) -> None:
    """Raises Withdrawn, with no image loaded, where the unit, which was at work just now, has ended as stopped."""
    if active_states([UNIT]) == ["inactive"]:
        if armed_now(root):
            run_apart([KDUMP_CONFIG, "unload"], timeout)
        raise Withdrawn(f"{UNIT} was stopped meanwhile: no image is loaded, as it was asked to")


def reload(root: Path, timeout: float) -> None:
    """Unload and load. Raises LoadFailed."""
    if wait_until_idle([UNIT], timeout):
        heed_stop(root, timeout)
        if armed_now(root):
            return
    # "load" refuses to touch an image that is there, "reload" is unload and load.
    run_apart([KDUMP_CONFIG, "reload" if armed_now(root) else "load"], timeout)


@contextlib.contextmanager
def lock(root: Path, config: Config) -> Iterator[None]:
    """What keeps kdump-tools' own udev rule out. Raises LoadFailed."""
    path = core_folder() / LOCK
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path, config.reload.timeout))
        except TimeoutError as error:
            raise LoadFailed(f"cannot hold kdump-tools' lock: {error}") from error
        except OSError as error:
            # A disk that is full, or a folder that is not for us to write in, is no reason to leave an image stale:
            # the rule is masked while we run, and the kernel's own lock remains.
            log.warning(f"going on without kdump-tools' lock {path}: {error.strerror}")
        yield


def core_folder() -> Path:
    """$KDUMP_COREDIR as kdump-config sees it: its configuration is a shell script of root's."""
    script = f'[ -r {DEFAULTS} ] && . {DEFAULTS}; printf %s "${{KDUMP_COREDIR:=/var/crash}}"'
    return Path(run(["/bin/sh", "-c", script], SCRIPT_TIMEOUT))


def recorded_command(path: Path) -> list[str]:
    """The arguments of kdump-config's last load. Raises LoadFailed where there is none, or none to be trusted."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(MAX_RECORDED).decode()
        argv = shlex.split(text)
    except FileNotFoundError as error:
        raise LoadFailed(f"kdump-config has recorded no command in {path}") from error
    except OSError as error:
        raise LoadFailed(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise LoadFailed(f"{path} does not hold a command: {error}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise LoadFailed(f"{path} could have been written by somebody else than root; not used")
    if len(argv) < 3 or Path(argv[0]).name != "kexec" or "-p" not in argv:
        raise LoadFailed(f"{path} does not hold a `kexec -p` command: {text[:200]!r}")
    return [kexec.KEXEC, *argv[1:]]
