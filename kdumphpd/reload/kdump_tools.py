# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading as Debian's and Ubuntu's kdump-tools does.

kdump-config writes down the exact kexec command of its last load; the same command, run straight over the old
image, spares the unload and the preparations in between. Where that does not work, kdump-config itself is asked.
"""

import contextlib
import os
import shlex
import stat
from pathlib import Path

from kdumphpd.config import Config
from kdumphpd.kernel.loaded import crash_loaded
from kdumphpd.lock import locked
from kdumphpd.reload import kexec
from kdumphpd.reload.run import LoadFailed, run

KDUMP_CONFIG = "/usr/sbin/kdump-config"
DEFAULTS = "/etc/default/kdump-tools"
RECORDED = "kexec_cmd"  # in $KDUMP_COREDIR
LOCK = "kdump_lock"  # there too; what `kdump-config try-reload` holds

MAX_RECORDED = 65536  # bytes


def is_installed(root: Path) -> bool:
    return (root / KDUMP_CONFIG.lstrip("/")).exists()


def load(root: Path, config: Config) -> None:
    """Load with the recorded command, else with kdump-config. Raises LoadFailed with what both answered."""
    timeout = config.reload.timeout
    folder = core_folder(timeout)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK, timeout))
        except OSError as error:
            raise LoadFailed(f"cannot hold kdump-tools' lock: {error}") from error
        load_locked(root, folder, timeout)


def load_locked(root: Path, folder: Path, timeout: float) -> None:
    """`load`, while kdump-config lets nobody else."""
    try:
        kexec.load_over(root, recorded_command(folder / RECORDED), timeout)
    except LoadFailed as error:
        first = error
    else:
        return
    # "load" refuses to touch an image that is there, "reload" is unload and load.
    verb = "reload" if crash_loaded(root) else "load"
    try:
        run([KDUMP_CONFIG, verb], timeout)
    except LoadFailed as error:
        raise LoadFailed(f"{first}; then {error}") from error


def core_folder(timeout: float) -> Path:
    """$KDUMP_COREDIR as kdump-config sees it: its configuration is a shell script of root's."""
    script = f'[ -r {DEFAULTS} ] && . {DEFAULTS}; printf %s "${{KDUMP_COREDIR:=/var/crash}}"'
    return Path(run(["/bin/sh", "-c", script], timeout))


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
