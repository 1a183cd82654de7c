# SPDX-License-Identifier: GPL-2.0-or-later
"""What a verb answers: text for people or JSON for programs, on the standard output; nothing else goes there.

Progress, hints and errors go to the standard error (`note`). Whatever others have written is made harmless here, so
that no verb has to think of it.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

SCHEMA = 1
"""The version of every verb's JSON: a new one where a field goes or changes its meaning, not where one is added."""

LABEL = 14  # columns of a label, the space after it included
NARROWEST = 40  # columns; a terminal that is narrower breaks lines by itself


class NoAnswerError(Exception):
    """There is none, or none that can be written; the message says why."""


class Json(StrEnum):
    """How --json was given."""

    SHORT = "short"  # one line
    PRETTY = "pretty"  # indented
    OFF = "off"  # text
    AUTO = "auto"  # -j, and --json alone: pretty on a terminal, else short


class Tone(StrEnum):
    """The colour of a word on a terminal: ECMA-48's SGR sequences, bold."""

    GOOD = "\x1b[1;32m"
    DOUBTFUL = "\x1b[1;33m"
    BAD = "\x1b[1;31m"


NORMAL = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Coloured:
    """A word that is coloured on a terminal."""

    text: str
    tone: Tone


Text = str | Coloured


@dataclass(frozen=True, slots=True)
class Row:
    """A line with a label in the first column. On a terminal a long one goes on below its own beginning."""

    label: Text
    parts: Sequence[Text]
    width: int = LABEL  # columns of the label
    indent: int | None = None  # columns before what goes on; None: as wide as the label
    whole: bool = False  # never broken: a program reads it on a terminal, too


Line = Text | Row


def field(label: Text, *parts: Text, width: int = LABEL, indent: int | None = None) -> Row:
    return Row(label, parts, width, indent)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every verb takes."""
    parser.add_argument(
        "-j", dest="json", action="store_const", const=Json.AUTO, default=Json.OFF, help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--json",
        type=Json,
        default=Json.OFF,
        metavar="MODE",
        choices=tuple(Json),
        help="a JSON object instead of text: short, pretty or off; alone, or as -j, pretty on a terminal, else short",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing but errors; the exit status says it"
    )
    parser.add_argument("--no-pager", action="store_true", help="do not pipe long text on a terminal into a pager")


def options(**values: Any) -> argparse.Namespace:
    """What the options of every verb are where none is given, and `values`."""
    return argparse.Namespace(**{"json": Json.OFF, "quiet": False, "no_pager": False, **values})


def wants_json(options: argparse.Namespace) -> bool:
    return options.json is not Json.OFF


def show(options: argparse.Namespace, content: Mapping[str, Any], lines: Iterable[Line]) -> None:
    """Print an answer as it was asked for: `content` as JSON, or `lines` as text; only one of them is used.

    `content` is what dataclasses.asdict() makes, or anything that json can write.
    """
    if options.quiet:
        return
    if wants_json(options):
        write(as_json(options.json, content))
        return
    text = as_text(lines)
    if sys.stdout.isatty() and not options.no_pager:
        from kdumphpd.cli.pager import page

        if page(text):
            return
    write(text)


def write(text: str, end: str = "\n") -> bool:
    """Print a part of the answer, at once; False where whoever read it has gone away. Raises NoAnswerError.

    That is no error of ours, and the exit status is what it would have been.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        _discard()
        return False
    except OSError as error:
        _discard()
        raise NoAnswerError(f"cannot write the answer: {error.strerror}") from error
    return True


def _discard() -> None:
    """What is not written yet goes nowhere: Python would complain of it once more when it ends.

    Source: its documentation of SIGPIPE.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def note(options: argparse.Namespace, text: str) -> None:
    """Say on the standard error what is no part of the answer: progress, a hint."""
    if not options.quiet:
        tell(plain(text))


def fail(text: str) -> None:
    """Say on the standard error why there is no answer."""
    tell(plain(f"kdumphpctl: {text}"))


def tell(text: str, end: str = "\n", stream: TextIO | None = None) -> None:
    """Print on the standard error, or on `stream`. Where nobody reads that, the work goes on."""
    with contextlib.suppress(OSError):
        print(text, file=stream or sys.stderr, end=end, flush=True)


def as_json(mode: Json, content: Mapping[str, Any]) -> str:
    """One JSON object, the version of its schema first, in ASCII. Raises ValueError for NaN, which JSON lacks."""
    if mode is Json.AUTO:
        mode = Json.PRETTY if sys.stdout.isatty() else Json.SHORT
    if mode is Json.PRETTY:
        return json.dumps({"schema": SCHEMA, **content}, indent=2, allow_nan=False)
    return json.dumps({"schema": SCHEMA, **content}, separators=(",", ":"), allow_nan=False)


def as_text(lines: Iterable[Line]) -> str:
    """The lines for the standard output: coloured where that is a terminal, and none longer than that is wide."""
    return "\n".join(render(lines, colour=_is_coloured(), width=_width()))


def render(lines: Iterable[Line], *, colour: bool = False, width: int | None = None) -> list[str]:
    """The lines as they are printed; `width`: columns of the terminal, None for lines that are not broken."""
    return [text for line in lines for text in _render(line, colour=colour, width=width)]


def _render(line: Line, *, colour: bool, width: int | None) -> list[str]:
    if not isinstance(line, Row):
        return [_paint(line, colour=colour)]
    margin = " " * (line.width - len(_paint(line.label, colour=False)))
    whole, painted = (
        "".join(_paint(part, colour=colours) for part in (line.label, margin, *line.parts))
        for colours in (False, colour)
    )
    if line.whole or width is None or len(whole) <= width:
        return [painted.rstrip()]
    from textwrap import wrap

    rows = wrap(
        whole,
        max(width, NARROWEST),
        subsequent_indent=" " * (line.indent or line.width),
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    # A word with a colour is the label, or the first one after it.
    for part in (line.label, line.parts[0]):
        if colour and isinstance(part, Coloured):
            rows[0] = rows[0].replace(plain(part.text), _paint(part, colour=True), 1)
    return rows


def _paint(part: Text, *, colour: bool) -> str:
    if isinstance(part, str):
        return plain(part)
    return f"{part.tone}{plain(part.text)}{NORMAL}" if colour else plain(part.text)


def _is_coloured() -> bool:
    """Whether the standard output wants colours. Source: no-color.org; terminfo(5) for "dumb"."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _width() -> int | None:
    """Columns of the standard output's terminal; None for everything else."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None


def plain(text: str) -> str:
    """`text` without anything that a terminal would act on."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
