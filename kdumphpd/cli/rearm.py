# SPDX-License-Identifier: GPL-2.0-or-later
"""Look at the loaded kdump image now, and reload it if it is out of date (root only).

Exit status: 0 an image is loaded and right, as far as can be told; 1 it is not; 3 none is loaded.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from kdumphpd import client, config, messages
from kdumphpd.policy import Action, Decision, Reason
from kdumphpd.protocol import Outcome, Verb


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(_options: argparse.Namespace, root: Path) -> int:
    if os.geteuid() != 0:
        print("kdumphpctl rearm has to be run as root: only root may load a kdump image", file=sys.stderr)
        return 1
    try:
        limit = client.longest(config.load(root))
        result = asyncio.run(client.request(root, Verb.REARM, limit, lambda step: print(f"… {step}")))
    except (config.ConfigError, client.RearmUnavailable) as error:
        print(f"kdumphpctl: {error}", file=sys.stderr)
        return 1
    asked = Decision(Action.RELOAD, Reason(result.reason) if result.reason else Reason.UNKNOWN)
    print(messages.what_was_done(asked, result)[1])
    if result.outcome is Outcome.NOTHING_LOADED:
        return 3
    return 0 if result.outcome in (Outcome.CURRENT, Outcome.TRUSTED, Outcome.RELOADED) else 1
