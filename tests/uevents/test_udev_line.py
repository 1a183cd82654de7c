# SPDX-License-Identifier: GPL-2.0-or-later
"""The line that a distribution's own rule could have (docs/distributions.md), as this machine's udev understands it.

With it at the head of the rule, kdumphpd needs no mask: the rule does nothing while /run/kdumphpd is there, which is
for as long as the listener runs.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.uevents.namespace import in_namespace, mount_tmpfs

DOCUMENT = Path(__file__).parents[2] / "docs/distributions.md"
RULES = Path("/run/udev/rules.d")

# How each family starts its reload, by RUN or by PROGRAM, whose program is run while rules are read.
RUN = 'SUBSYSTEM=="cpu", ACTION=="add", RUN+="/bin/true reload"\n'
PROGRAM = 'SUBSYSTEM=="cpu", ACTION=="add", PROGRAM="/usr/bin/touch /run/reloaded"\n'


def lines() -> dict[str, str]:
    """The line for each rule that the document names."""
    found = dict(re.findall(r"^\| `([\w-]+\.rules)` .*\| `(TEST==.*)` \|$", DOCUMENT.read_text(), re.MULTILINE))
    assert found.keys() == {"50-kdump-tools.rules", "70-kdump.rules", "98-kexec.rules"}
    return found


def reloads(name: str) -> bool:
    """Whether the rule asks for a reload at an event of a CPU; `name` has been written."""
    Path("/run/reloaded").unlink(missing_ok=True)
    command = ("udevadm", "test", "--action=add", "/sys/devices/system/cpu/cpu0")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert name in said, said
    # A newer udevadm reads rules only as far as it can without running a PROGRAM, and says that it would have.
    would = "skipping execution of '/usr/bin/touch /run/reloaded'" in said
    return "/bin/true reload" in said or would or Path("/run/reloaded").exists()


@in_namespace
@pytest.mark.parametrize("name", ["50-kdump-tools.rules", "70-kdump.rules", "98-kexec.rules"])
def test_with_the_line_a_rule_does_nothing_while_the_listener_runs(name: str) -> None:
    line = lines()[name]
    (label,) = re.findall(r'GOTO="(\w+)"', line)
    mount_tmpfs("/run")
    RULES.mkdir(parents=True)
    body = PROGRAM if name.startswith("50") else RUN
    (RULES / name).write_text(f'{line}\n{body}LABEL="{label}"\n')
    assert reloads(name)
    Path("/run/kdumphpd").mkdir()
    assert not reloads(name)
    Path("/run/kdumphpd").rmdir()
    assert reloads(name)
