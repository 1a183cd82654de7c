# SPDX-License-Identifier: GPL-2.0-or-later
"""Is kdumphpd's configuration right, and readable?"""

from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, failure, for_root, ok
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.config import Config
from kdumphpd.config_file import ConfigError, load

NAME = "configuration"


def configured(probe: Probe) -> Config:
    """The configuration; the defaults where it can't be read or is in error, which is what this check says."""
    try:
        return load(probe.root)
    except ConfigError:
        return Config()


def check(probe: Probe) -> Iterable[Finding]:
    try:
        load(probe.root)
    except ConfigError as error:
        if not probe.is_root and isinstance(error.__cause__, PermissionError):
            yield for_root(NAME, f"{error}")
        else:
            yield failure(
                NAME,
                f"{error}",
                "kdumphpd goes on with the last one of this boot that was right, or reloads nothing",
                "kdumphpd --check-config, then systemctl reload kdumphpd",
            )
    else:
        yield ok(NAME, "kdumphpd.toml and its drop-ins are right")
