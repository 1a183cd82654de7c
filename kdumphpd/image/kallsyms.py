# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of kernel variables from /proc/kallsyms."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from kdumphpd.image.errors import Cause, UnreadableError

# Bytes; larger by far than a line, which KSYM_NAME_LEN bounds to some 600, and than what one read gives (seq_file).
# From 128 KiB on malloc maps memory again for every read, which took twice as long.
CHUNK = 1 << 16


def find_symbols(root: Path, wanted: Iterable[str]) -> dict[str, int]:
    """Return the addresses of those of wanted that the kernel itself has (a module's do not count).

    Stops reading when all are found. Raises UnreadableError where the file is missing, may not be read, or hides
    its addresses behind zeros (kptr_restrict, Documentation/admin-guide/sysctl/kernel.rst).
    """
    names = set(wanted)
    found: dict[str, int] = {}
    try:
        with (root / "proc/kallsyms").open("rb", buffering=0) as file:
            rest = b""
            while len(found) < len(names) and (chunk := file.read(CHUNK)):
                lines, _, rest = (rest + chunk).rpartition(b"\n")
                lines += b"\n"
                for name in names - found.keys():
                    # A module's symbol ends in "\t[module]", so the end of the line keeps it out. Searching for the
                    # name first is ten times as quick as a pattern that is tried on each of some 170,000 lines.
                    if (end := lines.find(f" {name}\n".encode())) >= 0:
                        address = lines[lines.rfind(b"\n", 0, end) + 1 : end].split()[0]
                        with suppress(ValueError):  # then it is no line of the kernel's
                            found[name] = int(address, 16)
    except FileNotFoundError as error:
        raise UnreadableError(Cause.NO_KALLSYMS, "/proc/kallsyms is missing (CONFIG_KALLSYMS)") from error
    except OSError as error:
        raise UnreadableError(Cause.NO_PERMISSION, f"/proc/kallsyms: {error.strerror}") from error
    if found and not any(found.values()):
        raise UnreadableError(
            Cause.KPTR_RESTRICT,
            "/proc/kallsyms shows zeros for addresses: kernel.kptr_restrict is 2, or CAP_SYSLOG is missing",
        )
    return found
