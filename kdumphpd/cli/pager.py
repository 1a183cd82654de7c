# SPDX-License-Identifier: GPL-2.0-or-later
"""Text that is longer than the terminal goes through a pager, as with systemctl."""

import os
import shlex
import shutil
import subprocess

FALLBACKS = ("less", "more")

# As systemd has it: end if it fits, colours, no wrapping by the pager, leave the screen as it is. LESSSECURE: whoever
# may run kdumphpctl as root by sudo gets no shell out of it.
ENVIRONMENT = {"LESS": "FRSXMK", "LESSSECURE": "1"}


def page(text: str) -> None:
    """Print `text`, on a terminal, by a pager where it does not fit."""
    command = _pager() if text.count("\n") + 2 > shutil.get_terminal_size().lines else []
    if command:
        try:
            subprocess.run(command, input=text + "\n", text=True, env={**os.environ, **ENVIRONMENT}, check=False)
        except OSError:
            pass
        else:
            return
    print(text)


def _pager() -> list[str]:
    """$SYSTEMD_PAGER or $PAGER, an empty one or `cat` for none; root's are not for whoever became root by sudo."""
    chosen = None if "SUDO_UID" in os.environ else os.environ.get("SYSTEMD_PAGER", os.environ.get("PAGER"))
    if chosen is not None:
        words = shlex.split(chosen)
        return [] if words[:1] in ([], ["cat"]) else words
    found = next(filter(None, map(shutil.which, FALLBACKS)), None)
    return [found] if found else []
