# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: what may be set, its defaults and bounds, and reading it from TOML files.

The dataclasses below are the one declaration: file, messages and documentation follow from them. pydantic
validates them, in the part of its interface that 1.10 and 2.x share, and stays inside this module.
"""

import dataclasses
import json
import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass

VENDOR_FILE = "usr/lib/kdumphpd/kdumphpd.toml"
ADMIN_FILE = "etc/kdumphpd.toml"
# Drop-ins of both, merged by file name as systemd does; the administrator's replaces the vendor's of that name.
DROPIN_FOLDERS = ("usr/lib/kdumphpd/kdumphpd.toml.d", "etc/kdumphpd.toml.d")

MAX_FILE = 1 << 20  # bytes; more is no configuration of ours


class ConfigError(Exception):
    """The configuration can't be used; the message names file and key, in operators' words."""


class Loader(StrEnum):
    AUTO = "auto"
    FADUMP = "fadump"
    KDUMPCTL = "kdumpctl"
    SUSE = "suse"
    KDUMP_TOOLS = "kdump-tools"
    KEXEC = "kexec"
    COMMAND = "command"


class SyscallChoice(StrEnum):
    AUTO = "auto"
    FILE = "file"
    LOAD = "load"


class Verify(StrEnum):
    ALWAYS = "always"
    IN_DOUBT = "in-doubt"
    NEVER = "never"


@dataclass(frozen=True)
class StormConfig:
    quiet: float = Field(
        default=1.0, ge=0.05, le=60, description="seconds without a uevent after which a storm is over"
    )
    max_delay: float = Field(
        default=10.0,
        ge=0.05,
        le=3600,
        description="seconds after which a storm is answered although it goes on",
    )


@dataclass(frozen=True)
class KexecConfig:
    kernel: str = Field(default="", description="path of the capture kernel")
    initrd: str = Field(default="", description="path of the capture kernel's initrd; empty: none")
    command_line: str = Field(default="", description="kernel command line of the capture kernel")


@dataclass(frozen=True)
class ReloadConfig:
    loader: Loader = Field(
        default=Loader.AUTO, description="who loads the image; auto: what is installed and enabled here"
    )
    method: SyscallChoice = Field(
        default=SyscallChoice.AUTO,
        description="with which syscall kexec loads it; file: kexec_file_load; load: kexec_load; auto: of those that "
        "are permitted and leave an image which the kernel keeps current the one with the shortest time without an "
        "image",
    )
    timeout: float = Field(
        default=120.0, ge=1, le=3600, description="seconds after which a loader is ended, with all that it started"
    )
    max_unprotected: float = Field(
        default=0.05,
        ge=0.001,
        le=1,
        description="largest share of time that reloads may leave the machine without an image; a reload that "
        "comes too early for it is put off",
    )
    upgrade: bool = Field(
        default=True,
        description="reload once, at the start, an image that describes the machine but that the kernel, which "
        "could keep it current, was not permitted to touch",
    )
    command: tuple[str, ...] = Field(
        default=(), description='what loader = "command" runs: program and arguments, without a shell'
    )
    kexec: KexecConfig = Field(default_factory=KexecConfig, description='what loader = "kexec" loads')


@dataclass(frozen=True)
class VerifyConfig:
    image: Verify = Field(
        default=Verify.ALWAYS,
        description="when the loaded image is read; in-doubt: only where the kernel does not say that it keeps it "
        "current; never: the kernel's word decides",
    )


@dataclass(frozen=True)
class Config:
    storm: StormConfig = Field(default_factory=StormConfig, description="how uevents are gathered")
    reload: ReloadConfig = Field(default_factory=ReloadConfig, description="how the image is loaded again")
    verify: VerifyConfig = Field(default_factory=VerifyConfig, description="the look at the loaded image")


def load(root: Path) -> Config:
    """The configuration below `root`. Raises ConfigError; missing files are no error, all have defaults."""
    table: dict[str, Any] = {}
    origin: dict[str, Path] = {}  # dotted key → the file that set it
    for path in _files(root):
        addition = _read(path)
        _check_keys(addition, Config, path)
        _merge(table, addition, path, origin)
    return _validate(table, origin)


def keep(config: Config, path: Path) -> None:
    """Note a configuration that is right, for recall(). Raises OSError."""
    text = json.dumps(dataclasses.asdict(config))
    try:
        if path.read_text() == text:
            return
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.replace(path)


def recall(path: Path) -> Config:
    """The configuration that was noted last. Raises ConfigError where there is none."""
    try:
        table = json.loads(path.read_text())
        _check_keys(table, Config, path)
        return _validate(table, {})
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"no earlier configuration is known: {error}") from error


def _files(root: Path) -> Iterator[Path]:
    for path in (root / VENDOR_FILE, root / ADMIN_FILE):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        yield path
    dropins: dict[str, Path] = {}
    for folder in DROPIN_FOLDERS:
        try:
            dropins |= {path.name: path for path in (root / folder).iterdir() if path.suffix == ".toml"}
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError(f"cannot list {root / folder}: {error.strerror}") from error
    yield from (dropins[name] for name in sorted(dropins))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ConfigError(f"{path} is larger than {MAX_FILE} bytes; that is no configuration of kdumphpd")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # ValueError: TOML's, Unicode's and overlong numbers'
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _check_keys(table: Mapping[str, Any], model: Any, path: Path, above: str = "") -> None:
    """Refuse unknown keys and sections that are no tables, where the file's name is still known."""
    fields = {field.name: field.type for field in dataclasses.fields(model)}
    for key, value in table.items():
        dotted = above + key
        if key not in fields:
            raise ConfigError(f"{path}: unknown key {dotted}; known here: {', '.join(sorted(fields))}")
        section = dataclasses.is_dataclass(fields[key])
        if section and not isinstance(value, dict):
            raise ConfigError(f"{path}: {dotted} is a section, write it as [{dotted}]")
        if section:
            _check_keys(value, fields[key], path, dotted + ".")
        elif not _is_of_kind(value, fields[key]):
            raise ConfigError(f"{path}: {dotted} is {value!r}; expected {expected(dotted)}")


def _is_of_kind(value: Any, kind: Any) -> bool:
    """TOML has types; pydantic would read true as 1.0 and, in 1.10, 3 as "3"."""
    if kind is float:
        # Beyond 2**53 an integer may be larger than any float, and no number here is that large.
        if isinstance(value, int) and not isinstance(value, bool):
            return abs(value) < 1 << 53
        return isinstance(value, float)
    if kind is bool:
        return isinstance(value, bool)
    if kind == tuple[str, ...]:
        return isinstance(value, list) and all(isinstance(word, str) for word in value)
    return isinstance(value, str)


def _merge(
    table: dict[str, Any], addition: Mapping[str, Any], path: Path, origin: dict[str, Path], above: str = ""
) -> None:
    for key, value in addition.items():
        if isinstance(value, dict):
            _merge(table.setdefault(key, {}), value, path, origin, f"{above}{key}.")
        else:
            table[key] = value
            origin[above + key] = path


def _validate(table: Mapping[str, Any], origin: Mapping[str, Path]) -> Config:
    try:
        config = Config(**table)
    except ValidationError as error:
        raise ConfigError(_explain(error, table, origin)) from error
    if config.storm.max_delay < config.storm.quiet:
        path = origin.get("storm.max_delay") or origin.get("storm.quiet")
        raise ConfigError(
            f"{path}: storm.max_delay ({config.storm.max_delay} s) is shorter than storm.quiet "
            f"({config.storm.quiet} s); a storm can't end before it is quiet"
        )
    for loader, key, value in (
        (Loader.KEXEC, "reload.kexec.kernel", config.reload.kexec.kernel),
        (Loader.COMMAND, "reload.command", config.reload.command),
    ):
        if config.reload.loader is loader and not value:
            raise ConfigError(f'{origin["reload.loader"]}: loader = "{loader}" needs {key}, which is not set')
    return config


def _explain(error: ValidationError, table: Mapping[str, Any], origin: Mapping[str, Path]) -> str:
    """pydantic's findings in our own words: its texts change from release to release, `loc` does not."""
    lines = []
    for finding in error.errors():
        # 1.10 adds the model's own "__root__"; both name nested fields one by one.
        keys = [str(key) for key in finding["loc"] if key != "__root__"]
        known = [key for key in keys if key.isidentifier()]
        dotted = ".".join(known)
        value: Any = table
        for key in known:
            value = value.get(key) if isinstance(value, dict) else value
        lines.append(f"{origin.get(dotted, 'configuration')}: {dotted} is {value!r}; expected {expected(dotted)}")
    return "\n".join(lines)


def field_at(dotted: str) -> "dataclasses.Field[Any]":
    """The declaration of a key such as ``storm.quiet``."""
    model: Any = Config
    *sections, name = dotted.split(".")
    for section in sections:
        model = {field.name: field.type for field in dataclasses.fields(model)}[section]
    return {field.name: field for field in dataclasses.fields(model)}[name]


def expected(dotted: str) -> str:
    """What a key takes, in words: "a number from 0.05 to 60"."""
    kind: Any = field_at(dotted).type
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " or ".join(f'"{value}"' for value in kind)
    if kind is float:
        low, high = bounds(dotted)
        return f"a number from {low:g} to {high:g}"
    if kind is bool:
        return "true or false"
    if kind == tuple[str, ...]:
        return "a list of texts in quotation marks"
    return "a text in quotation marks"


def bounds(dotted: str) -> tuple[float, float]:
    """The least and the greatest value of a number."""
    info: Any = field_at(dotted).default
    low, high = getattr(info, "ge", None), getattr(info, "le", None)  # 1.10
    for limit in getattr(info, "metadata", ()):  # 2.x
        low = getattr(limit, "ge", low)
        high = getattr(limit, "le", high)
    assert low is not None and high is not None, dotted  # noqa: S101 - every number here declares both
    return low, high


def sections(config: Any = None, above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each section's dotted name with its keys and their defaults, in the order of their declaration."""
    for field in dataclasses.fields(config or Config()):
        value = getattr(config or Config(), field.name)
        if dataclasses.is_dataclass(value):
            name = above + field.name
            keys = {key.name: getattr(value, key.name) for key in dataclasses.fields(value)}
            yield name, {key: default for key, default in keys.items() if not dataclasses.is_dataclass(default)}
            yield from sections(value, f"{name}.")


def description(dotted: str) -> str:
    """What a key or section is for, in words that begin in lower case and end without a full stop."""
    info: Any = field_at(dotted).default
    return str(info.description)
