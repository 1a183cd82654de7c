# SPDX-License-Identifier: GPL-2.0-or-later
"""A plugin for sos(1): what `sos report` collects of kdumphpd. To be put into sos/report/plugins."""

from sos.report.plugins import IndependentPlugin, Plugin


class Kdumphpd(Plugin, IndependentPlugin):
    """State, configuration, journal and udev rules of kdumphpd, and the image as it lies in memory."""

    short_desc = "Kdump CPU and memory hotplug daemon"

    plugin_name = "kdumphpd"
    profiles = ("system", "debug")
    packages = ("kdumphpd",)
    services = ("kdumphpd",)

    def setup(self) -> None:
        """Register what to collect."""
        self.add_copy_spec(
            [
                "/etc/kdumphpd.toml",
                "/etc/kdumphpd.toml.d",
                "/usr/lib/kdumphpd/kdumphpd.toml",
                "/run/kdumphpd/state.json",
                "/run/kdumphpd-helper/record.json",
                "/run/kdumphpd-helper/recording.json",
                "/run/udev/rules.d",
                "/sys/kernel/kexec*",
                "/sys/kernel/fadump*",
                "/sys/devices/system/cpu/crash_hotplug",
                "/sys/devices/system/memory/crash_hotplug",
            ]
        )
        self.add_cmd_output(
            [
                "kdumphpctl --version",
                "kdumphpctl status",
                "kdumphpctl status --json",
                "kdumphpctl inspect",
                "kdumphpctl inspect --json",
                "kdumphpd --check-config",
                "systemctl --no-pager cat kdumphpd.service kdumphpd-helper.socket",
            ]
        )
        self.add_journal(
            units=[
                "kdumphpd",
                "kdumphpd.socket",
                "kdumphpd-helper.socket",
                "kdumphpd-helper@*",
                "kdumphpd-record",
                "kdumphpd-load",
                "kdumphpd-rules",
            ]
        )
