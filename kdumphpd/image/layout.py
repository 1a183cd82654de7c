# SPDX-License-Identifier: GPL-2.0-or-later
"""Where this boot's kernel keeps the loaded image: addresses of variables and layouts of structures.

Finding them takes up to a second on a slow machine and they hold until the next boot, so they are cached.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdumphpd.image.btf import Btf, Field, Struct
from kdumphpd.image.errors import Cause, ParseError, UnreadableError
from kdumphpd.image.kallsyms import find_symbols
from kdumphpd.sysfs import boot_id

MAX_BTF = 64 << 20  # bytes; a distribution kernel's BTF has 4 to 8 MiB

IMAGE = "kexec_crash_image"
RESERVATIONS = ("crashk_res", "crashk_low_res")
CMA_COUNT, CMA_RANGES = "crashk_cma_cnt", "crashk_cma_ranges"  # since 6.17, 35c18f2933c5

# Members of struct kimage that are set by a load and that no update by the kernel changes (identity.py).
OF_A_LOAD = (
    *("head", "entry", "last_entry", "start", "control_code_page", "control_page", "vmcoreinfo_data_copy"),
    *("nr_segments", "segment", "type", "file_mode", "hotplug_support", "update_elfcorehdr", "update_fdt"),
    *("kernel_buf_len", "initrd_buf_len", "cmdline_buf_len"),
)

# The members read, by structure: those that must be there, and those that only some kernels have.
#   kimage: update_elfcorehdr 6.6 to 6.9 (a72bbec70da2), hotplug_support since 6.10 (79365026f869),
#   update_fdt only in the PowerPC series that mainline did not take in this form, elfcorehdr_updated with
#   CONFIG_CRASH_HOTPLUG, dm_crypt_keys_addr with CONFIG_CRASH_DM_CRYPT.
REQUIRED = ("type", "nr_segments", "segment")
MEMBERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "kimage": (
        REQUIRED,
        (*(name for name in OF_A_LOAD if name not in REQUIRED), "dm_crypt_keys_addr", "elfcorehdr_updated"),
    ),
    "kexec_segment": (("bufsz", "mem", "memsz"), ()),
    "resource": (("start", "end"), ()),
    "range": (("start", "end"), ()),  # of a CMA reservation, and asked for only where there can be one
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Addresses by variable, layouts by structure."""

    symbols: dict[str, int]
    structs: dict[str, Struct]


def kernel_layout(root: Path, cache: Path | None = None) -> Layout:
    """Return the running kernel's Layout, from the file cache where that is of this boot, else into it.

    cache holds kernel addresses: it belongs in a directory that only root can read.
    Raises UnreadableError.
    """
    boot = boot_id(root)  # without it nothing is cached
    if cache and boot:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # whatever is wrong with it: again
            return _load(json.loads(cache.read_text()), boot)
    symbols = find_symbols(root, (IMAGE, *RESERVATIONS, CMA_COUNT, CMA_RANGES))
    for name in (IMAGE, RESERVATIONS[0]):
        if name not in symbols:
            raise UnreadableError(
                Cause.NO_SYMBOL, f"/proc/kallsyms has no {name} (CONFIG_KALLSYMS_ALL, CONFIG_KEXEC)"
            )
    layout = Layout(symbols, _structs(root, _needed(symbols)))
    if cache and boot:
        with suppress(OSError):  # without a cache the next inspection is only slower
            _store({"boot_id": boot, "members": _members(), **asdict(layout)}, cache)
    return layout


def parse_structs(data: bytes, names: Iterable[str] = MEMBERS) -> dict[str, Struct]:
    """Return the layouts of those of MEMBERS from the bytes of a BTF file. Raises ParseError."""
    btf = Btf(data)
    structs = {}
    for name in names:
        required, optional = MEMBERS[name]
        whole = btf.struct(name)
        if lacking := [m for m in required if m not in whole.fields]:
            raise ParseError(f"struct {name} has no {', '.join(lacking)}")
        structs[name] = Struct(whole.size, {m: f for m, f in whole.fields.items() if m in required + optional})
    return structs


def _members() -> dict[str, list[list[str]]]:
    """Return MEMBERS as JSON has it: a cache that was written for others lacks some."""
    return {name: [list(required), list(optional)] for name, (required, optional) in MEMBERS.items()}


def _needed(symbols: dict[str, int]) -> list[str]:
    return [name for name in MEMBERS if name != "range" or CMA_COUNT in symbols]


def _structs(root: Path, names: Iterable[str]) -> dict[str, Struct]:
    path = root / "sys/kernel/btf/vmlinux"
    try:
        with path.open("rb") as file:
            return parse_structs(file.read(MAX_BTF), names)
    except FileNotFoundError as error:
        raise UnreadableError(Cause.NO_BTF, "/sys/kernel/btf/vmlinux is missing (CONFIG_DEBUG_INFO_BTF)") from error
    except OSError as error:
        raise UnreadableError(Cause.NO_BTF, f"/sys/kernel/btf/vmlinux: {error.strerror}") from error
    except ParseError as error:
        raise UnreadableError(Cause.UNKNOWN_FORMAT, f"/sys/kernel/btf/vmlinux: {error}") from error


def _load(stored: dict[str, Any], boot: str) -> Layout:
    """Return what _store() wrote.

    Raises ValueError, KeyError, TypeError or AttributeError for anything else.
    """
    if stored["boot_id"] != boot:
        raise ValueError("of another boot")
    if stored["members"] != _members():
        raise ValueError("of another version of this program")
    symbols = {name: int(address) for name, address in stored["symbols"].items()}
    if not symbols.keys() >= {IMAGE, RESERVATIONS[0]}:
        raise ValueError("addresses are missing")
    structs = {}
    for name in _needed(symbols):
        fields = {m: Field(*map(int, f)) for m, f in stored["structs"][name]["fields"].items()}
        if not fields.keys() >= set(MEMBERS[name][0]):
            raise ValueError("members are missing")
        structs[name] = Struct(int(stored["structs"][name]["size"]), fields)
    return Layout(symbols, structs)


def _store(content: dict[str, Any], cache: Path) -> None:
    # Written beside and renamed, so that a reader sees a whole file or none.
    draft = cache.with_name(f".{cache.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="ascii") as file:
            json.dump(content, file)
        draft.replace(cache)
    finally:
        draft.unlink(missing_ok=True)  # a full /run has room for its name
