# SPDX-License-Identifier: GPL-2.0-or-later
"""kdumphpctl: what an operator asks kdumphpd. One module a verb, each with `add_arguments` and `run`."""

import argparse
import sys
from pathlib import Path

from kdumphpd import __version__
from kdumphpd.cli import inspect, rearm, status, verify

VERBS = {"status": status, "inspect": inspect, "verify": verify, "rearm": rearm}


def main() -> None:
    parser = argparse.ArgumentParser(prog="kdumphpctl", description="See and steer how kdumphpd keeps kdump armed.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in VERBS.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        module.add_arguments(verbs.add_parser(name, help=summary, description=summary))
    options = parser.parse_args()
    sys.exit(VERBS[options.verb].run(options, Path("/")))
