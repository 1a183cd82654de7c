# SPDX-License-Identifier: GPL-2.0-or-later
"""Is kexec there, and does it know --hotplug where the kernel could use that?"""

from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, failure, ok, warning
from kdumphpd.cli.doctor.probe import Probe

NAME = "kexec-tools"
NEWER = 'install kexec-tools 2.0.29 or newer, or leave reload.syscall at "auto" for kexec_file_load (kexec -s)'


def check(probe: Probe) -> Iterable[Finding]:
    said = probe.run("kexec", "--help")
    if said is None:
        yield failure(NAME, "kexec is not installed", "nothing can be loaded", "install kexec-tools")
        return
    version = probe.run("kexec", "--version")
    name = version.text.strip().splitlines()[0] if version and version.text.strip() else "kexec"
    if not any(probe.facts.updates.values()):
        yield ok(NAME, f"{name}; this kernel asks for no --hotplug")
    elif "--hotplug" in said.text:
        yield ok(NAME, f"{name} knows --hotplug")
    else:
        yield warning(
            NAME,
            f"{name} does not know --hotplug",
            "the kernel may update only images that kexec_file_load has loaded",
            NEWER,
        )
