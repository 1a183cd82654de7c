# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: what may be set, its defaults and bounds, and reading it from TOML files.

The dataclasses below are the one declaration: file, messages and documentation follow from them. pydantic
validates them, in the part of its interface that 1.10 and 2.x share, and stays inside this module.
"""

import dataclasses
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
    KDUMP_TOOLS = "kdump-tools"
    KEXEC = "kexec"


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
    loader: Loader = Field(default=Loader.AUTO, description="who loads the image")
    timeout: float = Field(default=120.0, ge=1, le=3600, description="seconds after which a loader is ended")
    kexec: KexecConfig = Field(default_factory=KexecConfig, description='what loader = "kexec" loads')


@dataclass(frozen=True)
class VerifyConfig:
    image: Verify = Field(
        default=Verify.ALWAYS,
        description="when the loaded image is read: always, only where the kernel does not say that it keeps "
        "it current, never",
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
