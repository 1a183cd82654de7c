# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading with kexec itself: straight over the old image, with no unload before it."""

import time
from collections.abc import Sequence
from pathlib import Path

from kdumphpd.config import Config
from kdumphpd.kernel.loaded import elfcorehdr_is_sized
from kdumphpd.reload.run import LoadFailed, run

KEXEC = "/sbin/kexec"  # on both sides of the /usr merge

# kexec-tools says it in the C library's words; both syscalls take a lock that every other load, an update by the
# kernel and a mere read of crash_hotplug hold too.
BUSY = "Device or resource busy"
BUSY_PAUSE = 0.05  # seconds

# Options that choose the syscall. `-s` is kept: under lockdown the other one is refused.
SYSCALL_OPTIONS = frozenset({"-a", "--kexec-syscall-auto", "-c", "--kexec-syscall"})


def load(root: Path, config: Config) -> None:
    """Load what [reload.kexec] names. Raises LoadFailed, and then the old image was left as it was or is gone."""
    settings = config.reload.kexec
    if not settings.kernel:
        raise LoadFailed('loader = "kexec" needs the capture kernel: set kernel in [reload.kexec]')
    argv = [KEXEC, "-p", f"--command-line={settings.command_line}"]
    if settings.initrd:
        argv.append(f"--initrd={settings.initrd}")
    load_over(root, [*argv, settings.kernel], config.reload.timeout)


def load_over(root: Path, argv: Sequence[str], timeout: float) -> None:
    """Run a `kexec -p` command, with the options that let the kernel update the image from then on.

    Kernel and initrd are looked at before: a load that fails half-way leaves the machine without an image.
    Raises LoadFailed.
    """
    for path in image_files(argv):
        check_file(path)
    argv = keep_current(root, argv, timeout)
    end = time.monotonic() + timeout
    while True:
        try:
            run(argv, max(1.0, end - time.monotonic()))
        except LoadFailed as error:
            if BUSY not in str(error) or time.monotonic() > end:
                raise
            time.sleep(BUSY_PAUSE)
        else:
            return


def keep_current(root: Path, argv: Sequence[str], timeout: float) -> list[str]:
    """`argv` with `-a --hotplug`, where kernel and kexec know what that is; unchanged elsewhere.

    With them the image is one the kernel may update, whichever syscall loads it: by kexec_file_load always, by
    kexec_load through the flag that --hotplug passes and the room that it leaves in the elfcorehdr.
    """
    if not elfcorehdr_is_sized(root) or "--hotplug" not in run([KEXEC, "--help"], timeout):
        return list(argv)
    kept = [word for word in argv if word not in SYSCALL_OPTIONS and word != "--hotplug"]
    syscall = [] if "-s" in kept or "--kexec-file-syscall" in kept else ["-a"]
    return [kept[0], *syscall, "--hotplug", *kept[1:]]


def image_files(argv: Sequence[str]) -> list[str]:
    """Kernel and initrd of a kexec command: the last word, and what --initrd or --ramdisk name."""
    named = [word.partition("=")[2] for word in argv if word.startswith(("--initrd=", "--ramdisk="))]
    return [*named, argv[-1]]


def check_file(path: str) -> None:
    """A file that can be loaded is there, has content, and can be read to its end. Raises LoadFailed.

    Reading it also brings it into the page cache, so that nothing is waited for while no image is loaded.
    """
    try:
        size = 0
        with Path(path).open("rb", buffering=0) as file:
            while piece := file.read(1 << 20):
                size += len(piece)
    except OSError as error:
        raise LoadFailed(f"cannot read {path}, which the image is made of: {error.strerror}") from error
    if size == 0:
        raise LoadFailed(f"{path}, which the image is made of, is empty")
