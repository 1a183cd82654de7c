# SPDX-License-Identifier: GPL-2.0-or-later
"""A `kexec -p` command, taken apart as kexec's own parser does, and put together with another syscall.

Source: main() of kexec/kexec.c, KEXEC_ALL_OPTIONS and KEXEC_ALL_OPT_STR of kexec-tools 2.0.32; getopt_long(3), which
sorts operands behind the options and accepts every unambiguous beginning of a long option.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

KEXEC = "/sbin/kexec"  # on both sides of the /usr merge

# Long options, those of all architectures together: without and with an argument.
FLAGS = (
    "help version force no-checks no-ifdown no-sync load unload exec exec-live-update load-preserve-context "
    "load-jump-back-helper load-live-update load-panic reuseinitrd kexec-file-syscall kexec-syscall "
    "kexec-syscall-auto debug status print-ckr-size hotplug no-cma force-dtb reset-vga console-vga console-serial "
    "elf32-core-headers elf64-core-headers pass-memmap-cmdline noefi reuse-video-type reuse-cmdline args-elf "
    "args-linux args-none real-mode entry-32bit dt-no-old-root atags"
)
ARGUMENTS = (
    "entry type mem-min mem-max serial serial-baud command-line append initrd ramdisk module dtb devicetreeblob "
    "image-size page-offset"
)
TAKES_ARGUMENT = {**dict.fromkeys(FLAGS.split(), False), **dict.fromkeys(ARGUMENTS.split(), True)}
SYNONYMS = {"append": "command-line", "ramdisk": "initrd", "devicetreeblob": "dtb"}

SHORT = {
    "h": "help",
    "?": "help",
    "v": "version",
    "d": "debug",
    "f": "force",
    "i": "no-checks",
    "x": "no-ifdown",
    "y": "no-sync",
    "l": "load",
    "u": "unload",
    "e": "exec",
    "t": "type",
    "p": "load-panic",
    "s": "kexec-file-syscall",
    "c": "kexec-syscall",
    "a": "kexec-syscall-auto",
    "S": "status",
}

# Which syscall loads, and whether the kernel may update what it loaded: ours to say.
CHOICES = frozenset({"kexec-syscall", "kexec-file-syscall", "kexec-syscall-auto", "hotplug"})

# With these it does something else than load for a panic, or more: --force reboots.
OTHERWISE = {
    "unload": "unloads an image",
    "exec": "starts the loaded kernel",
    "force": "reboots",
    "exec-live-update": "starts the loaded kernel",
    "load-preserve-context": "loads a kernel to return from",
    "load-jump-back-helper": "returns to another kernel",
    "load-live-update": "loads a kernel to reboot into",
    "status": "asks what is loaded",
    "print-ckr-size": "asks for the size of the reservation",
    "help": "asks for help",
    "version": "asks for the version",
}


class UsageError(ValueError):
    """kexec does not accept the command, unless it is a newer one that knows `option`."""

    def __init__(self, message: str, option: str = "") -> None:
        super().__init__(message)
        self.option = option


class Word(NamedTuple):
    """An option with its argument, or an operand."""

    name: str  # the option's full name, without dashes; empty for an operand
    value: str | None
    short: str = ""  # the letter, where it was given so

    @property
    def meaning(self) -> str:
        return SYNONYMS.get(self.name, self.name)

    def spelled(self) -> list[str]:
        if not self.name:
            return [str(self.value)]
        if self.short:
            return [f"-{self.short}"] if self.value is None else [f"-{self.short}", self.value]
        return [f"--{self.name}"] if self.value is None else [f"--{self.name}={self.value}"]


@dataclass(frozen=True)
class KexecCommand:
    """A command that loads an image for a panic."""

    kernel: Path
    initrd: Path | None
    # What it sets of the capture kernel's command line; None with --reuse-cmdline, which takes the running kernel's.
    command_line: str | None
    rest: tuple[Word, ...]  # all that stays when the syscall is chosen again, in order
    original: tuple[str, ...]  # as given to parse(), the program first

    def argv(self, syscall: str, hotplug: bool, append: str = "") -> list[str]:
        """The command with this syscall ("-c", "-s", "-a"), and `append` at the end of the command line."""
        words = list(self.rest)
        if append:
            # The last one counts. Beside --reuse-cmdline alone kexec joins both (x86, PowerPC).
            last = max((at for at, word in enumerate(words) if word.meaning == "command-line"), default=None)
            if last is None:
                words.insert(0, Word("append", append))
            else:
                before = words[last].value
                words[last] = words[last]._replace(value=f"{before} {append}" if before else append)
        if any(str(word.value).startswith("-") for word in words if not word.name):
            options = [word for word in words if word.name]
            words = [*options, Word("", "--"), *(word for word in words if not word.name)]
        choices = [syscall, "--hotplug"] if hotplug else [syscall]
        return [KEXEC, *choices, *(text for word in words for text in word.spelled())]


def parse(argv: Sequence[str]) -> KexecCommand:
    """Take a command apart, the program first.

    Raises ValueError, in a sentence, where it loads no panic kernel: UsageError where kexec would not even begin.
    """
    shown = " ".join(argv)[:200]
    try:
        words = list(_words(argv[1:]))
    except UsageError as error:
        raise UsageError(f"`{shown}`: {error}", error.option) from error
    for word in words:
        if word.name in OTHERWISE:
            raise ValueError(f"`{shown}` {OTHERWISE[word.name]} (--{word.name}): it loads no kernel for a panic")
    if not any(word.name == "load-panic" for word in words):
        raise ValueError(f"`{shown}` lacks -p (--load-panic): it loads no kernel for a panic")
    kernel = next((word.value for word in words if not word.name), None)
    if not kernel:
        raise ValueError(f"`{shown}` names no kernel")
    initrd = _last(words, "initrd")
    reused = any(word.name == "reuse-cmdline" for word in words)
    return KexecCommand(
        kernel=Path(kernel),
        initrd=Path(initrd) if initrd else None,
        command_line=None if reused else _last(words, "command-line") or "",
        rest=tuple(word for word in words if word.name not in CHOICES),
        original=tuple(argv),
    )


def _last(words: list[Word], meaning: str) -> str | None:
    return next((word.value for word in reversed(words) if word.meaning == meaning), None)


def _words(arguments: Sequence[str]) -> Iterator[Word]:
    """Raises UsageError for what getopt_long does not accept."""
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            yield from (Word("", operand) for operand in left)
        elif argument.startswith("--"):
            yield _long(argument, left)
        elif argument.startswith("-") and argument != "-":
            yield from _shorts(argument[1:], left)
        else:
            yield Word("", argument)


def _long(argument: str, left: Iterator[str]) -> Word:
    given, assigned, value = argument[2:].partition("=")
    names = [name for name in TAKES_ARGUMENT if name.startswith(given)]
    if given in TAKES_ARGUMENT:
        names = [given]
    if not names:
        raise UsageError(f"kexec knows no option --{given}", f"--{given}")
    if len({SYNONYMS.get(name, name) for name in names}) > 1:
        raise UsageError(f"--{given} may be {' or '.join(f'--{name}' for name in names)}")
    name = names[0]
    if not TAKES_ARGUMENT[name]:
        if assigned:
            raise UsageError(f"--{name} takes no argument")
        return Word(name, None)
    return Word(name, value if assigned else _argument(f"--{name}", left))


def _shorts(letters: str, left: Iterator[str]) -> Iterator[Word]:
    for at, letter in enumerate(letters):
        name = SHORT.get(letter)
        if name is None:
            raise UsageError(f"kexec knows no option -{letter}", f"-{letter}")
        if TAKES_ARGUMENT[name]:
            yield Word(name, letters[at + 1 :] or _argument(f"-{letter}", left), letter)
            return
        yield Word(name, None, letter)


def _argument(option: str, left: Iterator[str]) -> str:
    value = next(left, None)
    if value is None:
        raise UsageError(f"{option} lacks its argument")
    return value
