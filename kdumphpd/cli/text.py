# SPDX-License-Identifier: GPL-2.0-or-later
"""Text on an operator's terminal that others have written."""


def plain(text: str) -> str:
    """`text` without anything that a terminal would act on."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
