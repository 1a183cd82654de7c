# SPDX-License-Identifier: GPL-2.0-or-later
"""The capture kernel's command line: where x86 boot parameters keep it, and what it has to have.

Source: Documentation/arch/x86/boot.rst and zero-page.rst; Documentation/admin-guide/kernel-parameters.txt.
"""

import struct

from kdumphpd.image.errors import ParseError

MAX_SIZE = 1 << 16  # bytes with the NUL; COMMAND_LINE_SIZE is 2,048 on x86 and arm64 and 16,384 on s390

# In the x86 boot parameters: the magic of the setup header, cmd_line_ptr and, from struct boot_params, its high half.
MAGIC, MAGIC_AT = b"HdrS", 0x202
POINTER_AT, POINTER_HIGH_AT = 0x228, 0x0C8
MIN_BOOT_PARAMS = 0x268  # bytes: struct boot_params up to the end of struct setup_header, as of protocol 2.15

# Any of these keeps the capture kernel's ACPI driver from onlining the crashed kernel's memory.
NO_MEMHOTPLUG = "acpi_no_memhotplug"
ACPI_OFF = "acpi=off"
ONLINE_POLICY, OFFLINE = "memhp_default_state", "offline"


def pointer(boot_params: bytes) -> int:
    """Return the physical address of the command line by x86 boot parameters, 0 for none. Raises ParseError."""
    if len(boot_params) < MIN_BOOT_PARAMS or boot_params[MAGIC_AT : MAGIC_AT + 4] != MAGIC:
        raise ParseError("not x86 boot parameters")
    (low,) = struct.unpack_from("<I", boot_params, POINTER_AT)
    (high,) = struct.unpack_from("<I", boot_params, POINTER_HIGH_AT)
    return int(high << 32 | low)


def decode(data: bytes) -> str:
    """Return the NUL-terminated command line that data begins with. Raises ParseError where it has no end."""
    end = data.find(b"\0", 0, MAX_SIZE)
    if end < 0:
        raise ParseError("the capture kernel's command line has no end")
    return data[:end].decode("utf-8", "replace").strip()


def missing(command_line: str) -> str:
    """Return what has to be appended to command_line, "" if nothing.

    Memory that a DIMM or a hypervisor has added is not in the firmware's map. A capture kernel with ACPI memory
    hotplug takes it for new, brings it online by default and overwrites what it is to dump.
    """
    policy = ""
    for parameter in parameters(command_line):
        if parameter in (NO_MEMHOTPLUG, ACPI_OFF):
            return ""
        name, _, value = parameter.partition("=")
        if name.replace("-", "_") == ONLINE_POLICY:
            policy = value  # the last one counts
    return "" if policy == OFFLINE else NO_MEMHOTPLUG


def parameters(command_line: str) -> list[str]:
    """Return the kernel's own parameters: what follows "--" is for init, and quotes may hold spaces (next_arg())."""
    found = [""]
    quoted = False
    for character in command_line:
        if character == '"':
            quoted = not quoted
        elif character.isspace() and not quoted:
            found.append("")
        else:
            found[-1] += character
    found = [parameter for parameter in found if parameter]
    return found[: found.index("--")] if "--" in found else found
