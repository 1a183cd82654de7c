# SPDX-License-Identifier: GPL-2.0-or-later
"""openSUSE's and SLES' kdump: load.sh, straight over the old image.

Without --update, as kdump's own udev rule calls it: hotplug changes nothing in the initrd.
"""

from kdumphpd.load.loaders import Loader
from kdumphpd.load.recording import Recipe

FOLDER = "/usr/lib/kdump"
LOAD = f"{FOLDER}/load.sh"

LOADER = Loader(
    program=LOAD,
    units=("kdump.service", "kdump-early.service", "kdump-commandline.service"),
    recipe=Recipe(
        argv=(LOAD,),
        # It ends with a copy of its udev rule, which kdumphpd stands in for: that one nobody sees.
        properties=("TemporaryFileSystem=/run/udev/rules.d",),
        inputs=("/etc/sysconfig/kdump", f"{FOLDER}/*.sh", "/var/lib/kdump/kernel", "/var/lib/kdump/initrd"),
        # load.sh says these by its exit status alone.
        meanings={
            5: "KDUMP_FADUMP is set in /etc/sysconfig/kdump, but the kernel was not booted with fadump=on: do the "
            "one, or undo the other",
            6: "/var/lib/kdump/kernel or /var/lib/kdump/initrd is missing: `mkdumprd` builds them",
        },
    ),
    reload=(LOAD,),
    load=(LOAD,),
    unload=(f"{FOLDER}/unload.sh",),
)
