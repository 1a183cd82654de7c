# SPDX-License-Identifier: GPL-2.0-or-later
"""Fedora's and RHEL's kdumpctl.

It has to run outside of our sandbox: where /boot is not writable it takes the initrd from elsewhere.
"""

from kdumphpd.load.loaders import Loader
from kdumphpd.load.recording import Recipe

KDUMPCTL = "/usr/bin/kdumpctl"

LOADER = Loader(
    program=KDUMPCTL,
    units=("kdump.service",),
    recipe=Recipe(
        argv=(KDUMPCTL, "reload"),
        # kdump.service has it since November 2025; without it kdumpctl goes through `sudo -i` for every kexec.
        properties=("KeyringMode=shared",),
        inputs=("/etc/kdump.conf", "/etc/sysconfig/kdump", KDUMPCTL, "/usr/lib/kdump/*.sh"),
        lock="/run/lock/kdump",
    ),
    reload=(KDUMPCTL, "reload"),
    load=(KDUMPCTL, "reload"),
    unload=(KDUMPCTL, "stop"),
    log="var/log/kdump.log",  # what kexec says while it loads is redirected there
)
