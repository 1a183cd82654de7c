# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking a distribution's loader what it would load: it runs once with a recording kexec in kexec's place.

Nothing is loaded and nothing unloaded meanwhile. What it asked kexec for last is the command that reloads the image,
until a file changes that the loader read. packaging/libexec/record-kexec is what stands in for kexec.
"""

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdumphpd import journal, runtime
from kdumphpd.load import crypt_keys, kexec, loader_lock
from kdumphpd.load.command import KEXEC, KexecCommand, UsageError, parse
from kdumphpd.load.files import LIMIT, FileIdentity, identity
from kdumphpd.load.run import CommandFailed, LoadFailed, NotReady, bounded, fresh_file, run_in_unit
from kdumphpd.sysfs import boot_id

log = journal.logger()

UNIT = "kdumphpd-record.service"

RECORDER = "/usr/libexec/kdumphpd/record-kexec"
FOLDER = f"{runtime.FOLDER}/recording"
CALLS = f"{FOLDER}/calls"
REAL = f"{FOLDER}/kexec"  # where the recorder finds the true one
PROGRAMS = (KEXEC, "/usr/sbin/kexec")  # by which loaders start it

# A recipe's exit status where the loader has no way to say what it would load: EX_USAGE of sysexits.h.
CANNOT_BE_ASKED = 64

# From this exit status on systemd could not start it (systemd.exec(5): 200/CHDIR, 203/EXEC, 226/NAMESPACE).
SYSTEMD = 200

# What a loader makes here is gone when it ends: kdumpctl up to 1.0.56 takes the kernel out of a UKI (a kernel, its
# initrd and command line in one EFI program) for every load.
TEMPORARY = ("/tmp/", "/var/tmp/")  # noqa: S108 - to know them by, not to write to

PATTERN = frozenset("*?[")
MAX_CALLS = 1 << 20  # bytes
MAX_KEPT = 1 << 20  # bytes


class LoaderFailed(LoadFailed):
    """The loader itself ended in failure before it named what it would load."""


class LeftNothing(LoaderFailed):
    """It has taken the image down although it was only asked, and did not put it back."""


class Bypassed(LoadFailed):
    """The loader has run and not called the recorder once: it has a kexec of its own, or none to call."""


Inputs = dict[str, FileIdentity | None]


@dataclass(frozen=True)
class Recipe:
    """How a loader is asked."""

    argv: tuple[str, ...]
    name: str = ""  # for operators; empty: what argv says
    # More of the transient unit that it runs in: what the loader's own service has, such as KeyringMode=shared.
    properties: tuple[str, ...] = ()
    # What it reads, as absolute paths or patterns (glob(7)). Not what it writes: that would never be fresh.
    inputs: tuple[str, ...] = ()
    lock: str = ""  # that it waits for
    meanings: Mapping[int, str] = field(default_factory=dict)  # exit statuses that say more than its words

    def __str__(self) -> str:
        return self.name or " ".join(self.argv[:2])

    @property
    def words(self) -> tuple[str, ...]:
        """What tells it from a loader that would name another command."""
        return (*self.argv, *self.properties)


@dataclass(frozen=True)
class Recording:
    """What it answered."""

    command: KexecCommand
    inputs: Inputs  # what it read, and the command's kernel and initrd; None for what was not there
    boot_id: str
    loader: tuple[str, ...]  # the recipe's words

    def to_json(self) -> dict[str, Any]:
        return {
            "argv": list(self.command.original),
            "inputs": {path: file and file.to_json() for path, file in self.inputs.items()},
            "boot_id": self.boot_id,
            "loader": list(self.loader),
        }

    @classmethod
    def from_json(cls, value: object) -> "Recording":
        """Raises ValueError."""
        try:
            fields = dict(value)  # type: ignore[call-overload]
            inputs = dict(fields["inputs"])
            words = [*fields["argv"], *fields["loader"], *inputs, fields["boot_id"]]
            if not all(isinstance(word, str) for word in words):
                raise ValueError("not a recording: a word is no text")
            return cls(
                command=parse(fields["argv"]),
                inputs={
                    path: None if file is None else FileIdentity.from_json(file) for path, file in inputs.items()
                },
                boot_id=fields["boot_id"],
                loader=tuple(fields["loader"]),
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a recording: {error!r}") from error


def record(root: Path, recipe: Recipe, inputs: Inputs, limit: float) -> Recording:
    """Run the loader, `limit` seconds at most: it may find that an initrd is due and build it. Raises LoadFailed.

    `inputs` is from read_inputs(), before it begins: what changes while it runs, it may have read or not.
    """
    properties = [
        *_binds(root),
        *crypt_keys.properties(root),
        *recipe.properties,
        *loader_lock.properties(root, recipe.lock),
    ]
    _prepare(root)
    failure: LoadFailed | None = None
    said = ""
    try:
        said = run_in_unit(recipe.argv, limit, properties, UNIT, "Ask what kdump image would be loaded", root)
    except LoadFailed as error:
        failure = error
    recorded = _read_calls(root)
    command = last_load(recorded)
    if command is None:
        raise _named_nothing(root, recipe, failure, said, recorded)
    if failure:
        log.warning(f"what would be loaded is known, but asking for it ended in failure: {failure}")
    files = _read_files(root, command)
    for path, file in files.items():
        if file is None:
            if path.startswith(TEMPORARY):
                raise LoadFailed(f"`{recipe}` loads {path}, which it makes for one load and takes away again")
            raise NotReady(f"`{recipe}` would load {path}, which is not there: build it again")
    return Recording(command, {**inputs, **files}, boot_id(root), recipe.words)


def _named_nothing(root: Path, recipe: Recipe, failure: LoadFailed | None, said: str, recorded: bytes) -> LoadFailed:
    """What to raise where the loader has not named a kernel: how it failed, or else what it said, and its calls."""
    kind = LoadFailed
    if failure is None:
        why = [found for found in _loads(recorded) if isinstance(found, ValueError)]
        ended = "; ".join([*map(str, why[-1:]), f"it ended in success and said: {said or 'nothing'}"])
        if not recorded:
            kind = Bypassed
        elif why and isinstance(error := why[-1], UsageError) and not kexec.knows(root, error.option):
            kind = LoaderFailed  # kexec would refuse it, and that it has not seen
    elif isinstance(failure, CommandFailed):
        ended = "; ".join(filter(None, (str(failure), recipe.meanings.get(failure.status))))
        if 0 < failure.status < SYSTEMD and failure.status != CANNOT_BE_ASKED:
            kind = LoaderFailed
    else:
        return failure  # it has not even run, or not to its end
    return kind(f"`{recipe}` did not ask kexec to load a panic kernel: {ended}")


def is_fresh(root: Path, recipe: Recipe, recording: Recording) -> bool:
    """Whether the loader would name the same command again: this boot, and nothing that it read has changed."""
    if (recording.boot_id, recording.loader) != (boot_id(root), recipe.words):
        return False
    try:
        return {**read_inputs(root, recipe), **_read_files(root, recording.command)} == recording.inputs
    except LoadFailed:
        return False


def read_inputs(root: Path, recipe: Recipe) -> Inputs:
    """What the loader reads, as it is now. Raises LoadFailed."""
    return _identities(root, _expanded(root, recipe.inputs), f"what {recipe.argv[0]} reads")


def _read_files(root: Path, command: KexecCommand) -> Inputs:
    """Kernel and initrd, as they are now. Raises LoadFailed."""
    paths = [str(path) for path in (command.kernel, command.initrd) if path]
    return _identities(root, paths, "the files of the kdump image")


def _expanded(root: Path, patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        if PATTERN.intersection(pattern):
            yield from (f"/{path.relative_to(root)}" for path in root.glob(pattern.lstrip("/")))
        else:
            yield pattern


def _identities(root: Path, paths: Iterable[str], what: str) -> Inputs:
    try:
        return bounded(lambda: {path: identity(root / path.lstrip("/")) for path in paths}, LIMIT, what)
    except OSError as error:
        raise LoadFailed(f"cannot read {what}: {error}") from error


def _binds(root: Path) -> Iterator[str]:
    """Mounts of the unit, over every file that kexec may be started as. Raises LoadFailed."""
    if not (root / RECORDER.lstrip("/")).exists():
        raise LoadFailed(f"{RECORDER} is missing: install kdumphpd again")
    found = [Path(os.path.realpath(root / program.lstrip("/"))) for program in PROGRAMS]
    programs = list(dict.fromkeys(f"/{os.path.relpath(path, root)}" for path in found if path.exists()))
    if not programs:
        raise LoadFailed(f"there is no {KEXEC}: install kexec-tools")
    yield f"BindReadOnlyPaths={programs[0]}:/{REAL}"
    for program in programs:
        yield f"BindReadOnlyPaths={RECORDER}:{program}"


def _prepare(root: Path) -> None:
    """What the unit mounts on and writes to, new and empty. Raises LoadFailed."""
    try:
        (root / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (root / REAL, root / CALLS):
            with fresh_file(path):
                pass
    except OSError as error:
        raise LoadFailed(f"cannot prepare /{FOLDER} for a recording: {error.strerror}") from error


def _read_calls(root: Path) -> bytes:
    try:
        with (root / CALLS).open("rb") as file:
            return file.read(MAX_CALLS)
    except OSError:
        return b""


def calls(data: bytes) -> Iterator[list[str]]:
    """The arguments of each call that record-kexec wrote down; what is not complete is left out.

    Bytes that are no UTF-8 come back as they are when they are used as an argument (PEP 383).
    """
    *words, _ = data.split(b"\0")
    at = 0
    while at < len(words) and words[at].isdigit() and at + 1 + (count := int(words[at][-9:])) <= len(words):
        yield [os.fsdecode(word) for word in words[at + 1 : at + 1 + count]]
        at += 1 + count


def last_load(data: bytes) -> KexecCommand | None:
    """The last of the recorded calls that loads for a panic."""
    return next((found for found in reversed(_loads(data)) if isinstance(found, KexecCommand)), None)


def _loads(data: bytes) -> list[KexecCommand | ValueError]:
    """The recorded calls, each taken apart, or why it is no load for a panic."""
    found: list[KexecCommand | ValueError] = []
    for arguments in calls(data):
        try:
            found.append(parse([KEXEC, *arguments]))
        except ValueError as error:
            found.append(error)
    return found


def load_kept(root: Path, path: str) -> Recording | None:
    """What keep() has written to `path` below `root`; None where there is nothing, or nothing that root wrote."""
    try:
        fd = os.open(root / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
                return None
            return Recording.from_json(json.loads(file.read(MAX_KEPT)))
    except (OSError, ValueError, RecursionError):
        return None


def keep(root: Path, path: str, recording: Recording) -> None:
    """Write it to `path` below `root`, for root alone. Raises OSError; what was there then stays."""
    target = root / path
    new = target.with_name(f"{target.name}.new")
    with fresh_file(new) as fd, os.fdopen(fd, "w", encoding="ascii", closefd=False) as file:
        json.dump(recording.to_json(), file)
    new.replace(target)
