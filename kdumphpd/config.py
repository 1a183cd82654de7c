# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: what may be set, its defaults and bounds.

The dataclasses below are the one declaration: file, messages and documentation follow from them. config_file.py reads
TOML files into them.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, get_type_hints


class LoaderChoice(StrEnum):
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


def _key(default: Any, description: str, ge: float | None = None, le: float | None = None) -> Any:
    return dataclasses.field(default=default, metadata={"description": description, "ge": ge, "le": le})


def _section(model: type, description: str) -> Any:
    return dataclasses.field(default_factory=model, metadata={"description": description})


@dataclass(frozen=True)
class EventsConfig:
    settle_time: float = _key(1.0, "seconds without a uevent after which a burst of uevents is over", 0.05, 60)
    max_delay: float = _key(10.0, "seconds after which a burst is handled although uevents still arrive", 0.05, 3600)


@dataclass(frozen=True)
class KexecConfig:
    kernel: str = _key("", "path of the capture kernel")
    initrd: str = _key("", "path of the capture kernel's initrd; empty: none")
    command_line: str = _key("", "kernel command line of the capture kernel")


@dataclass(frozen=True)
class ReloadConfig:
    loader: LoaderChoice = _key(
        LoaderChoice.AUTO,
        "who says what is loaded; auto: what is configured here, else the distribution's loader that is enabled",
    )
    syscall: SyscallChoice = _key(
        SyscallChoice.AUTO,
        "with which syscall kexec loads the image; file: kexec_file_load; load: kexec_load; auto: of those that are "
        "permitted and leave an image which the kernel updates the one with the shortest unprotected time",
    )
    timeout: float = _key(120.0, "seconds after which a kexec is killed, with all that it started", 1, 3600)
    max_unprotected: float = _key(
        0.05,
        "largest share of time that reloads may leave the machine without an image; a reload that comes too early "
        "is deferred, by an hour at most",
        0.001,
        1,
    )
    make_updatable: bool = _key(
        True,
        "reload once an image that describes the machine but that the kernel, which could update it, was not "
        "permitted to touch when it was loaded",
    )
    append: str = _key(
        "auto",
        "what is appended to the capture kernel's command line; auto: acpi_no_memhotplug where memory can be "
        "hot-added and the capture kernel could take that for its own; empty: nothing",
    )
    command: tuple[str, ...] = _key((), 'what loader = "command" runs: program and arguments, without a shell')
    kexec: KexecConfig = _section(KexecConfig, 'what loader = "kexec" loads')


@dataclass(frozen=True)
class VerifyConfig:
    image: Verify = _key(
        Verify.ALWAYS,
        "when the loaded image is read; in-doubt: only where the kernel does not report that it updates it; never: "
        "what the kernel reports decides, and whether the machine has changed since the last load",
    )
    interval: float = _key(3600.0, "seconds after which the image is checked although nothing happened", 60, 604800)


@dataclass(frozen=True)
class Config:
    events: EventsConfig = _section(EventsConfig, "how uevents are coalesced")
    reload: ReloadConfig = _section(ReloadConfig, "how the image is reloaded")
    verify: VerifyConfig = _section(VerifyConfig, "how the loaded image is verified")


def field_at(dotted: str) -> tuple[Any, Any]:
    """The type and the declaration of a key or section such as ``events.settle_time``."""
    model: Any = Config
    *above, name = dotted.split(".")
    for section in above:
        model = get_type_hints(model)[section]
    return get_type_hints(model)[name], {field.name: field for field in dataclasses.fields(model)}[name]


def expected(dotted: str) -> str:
    """What a key takes, in words: "a number from 0.05 to 60"."""
    kind, declared = field_at(dotted)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " or ".join(f'"{value}"' for value in kind)
    if kind is float:
        return f"a number from {declared.metadata['ge']:g} to {declared.metadata['le']:g}"
    if kind is bool:
        return "true or false"
    if kind == tuple[str, ...]:
        return "a list of texts in quotation marks"
    return "a text in quotation marks"


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
    return str(field_at(dotted)[1].metadata["description"])
