# SPDX-License-Identifier: GPL-2.0-or-later
"""kdumphpctl: what an operator asks kdumphpd. One module a verb, with `run`, and `add_arguments` for what is its own.

A verb's module says in the first line of its docstring what it shows, and its exit statuses in the rest. The options
of all verbs, and how an answer is printed, are in output.py. They may stand before the verb or after it.
"""

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from kdumphpd import __version__
from kdumphpd.cli import exits, output
from kdumphpd.cli.arguments import arrange

VERBS = ("status", "check", "doctor", "explain", "history", "watch", "plot", "inspect", "verify", "rearm")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """An option whose value is optional as systemd writes it."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if action.dest == "json":
            return "-j, --json[=MODE]"
        return super()._format_action_invocation(action)


class _Parser(argparse.ArgumentParser):
    """One whose help is written as an answer is."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            output.write(message, end="")
        else:
            output.tell(message, end="")


def main() -> None:
    _open_streams()
    words = arrange(sys.argv[1:])
    sys.exit(_answer(words))


def _open_streams() -> None:
    """Something behind each of the three, so that no file which is opened later is taken for one of them."""
    for name in ("stdin", "stdout", "stderr"):  # the lowest descriptor that is free comes first
        if getattr(sys, name) is None:  # `>&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know fewer characters than a path has


def _answer(words: Sequence[str]) -> int:
    """The exit status of a call. Whatever happens, it is one that is documented, and a sentence says why."""
    verb = words[0]
    try:
        status = _run(words)
    except SystemExit as ended:  # argparse's: --help, --version, wrong usage, which it has told
        status = ended.code if isinstance(ended.code, int) else exits.ARMED
        if status == exits.USAGE and verb == exits.CHECK:
            status = _unknown(words, "wrong usage; see kdumphpctl check --help")
    except KeyboardInterrupt:
        # As a program ends that does not handle it: whoever runs us in a loop sees that it was Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        raise
    except output.NoAnswerError as error:
        output.fail(str(error))
        status = exits.of_failure(verb)
    except Exception as error:  # the one place for what nobody has foreseen
        text = _unforeseen(error)
        output.fail(text)
        status = _unknown(words, text)
    return status


def _run(words: Sequence[str]) -> int:
    # One verb is asked for; what the others stand on takes longer to import than the work of this one.
    asked = words[:1] if words[0] in VERBS else VERBS
    modules = {verb: import_module(f"{__name__}.{verb}") for verb in asked}
    common = _Parser(add_help=False)
    output.add_arguments(common)
    parser = _Parser(
        prog="kdumphpctl",
        description="See and steer how kdumphpd keeps kdump armed. Without a verb: status.",
        epilog=exits.table(),
        formatter_class=_Formatter,
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in modules.items():
        summary, _, rest = (module.__doc__ or "").strip().partition("\n")
        of_verb = verbs.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=rest.strip(),
            formatter_class=_Formatter,
            parents=[common],
            allow_abbrev=False,
        )
        if hasattr(module, "add_arguments"):
            module.add_arguments(of_verb)
    options = parser.parse_args(words)
    return int(modules[options.verb].run(options, Path("/")))


def _unknown(words: Sequence[str], text: str) -> int:
    """The exit status where there is no answer. A plugin's own line says so too: some programs read nothing else."""
    if words[0] == exits.CHECK and not any(word.startswith(("-j", "--json", "-q", "--quiet")) for word in words):
        with contextlib.suppress(output.NoAnswerError):
            output.write(f"KDUMP UNKNOWN - {output.plain(text).replace('|', '/')}")
    return exits.of_failure(words[0])


def _unforeseen(error: Exception) -> str:
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.name}, {frame.filename.rpartition('/')[2]} line {frame.lineno}"
    return (
        f"it failed unexpectedly: {type(error).__name__}: {error} (in {place}); where the system is right, report it"
    )
