# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the configuration from TOML files, and keeping the last one that was right.

pydantic validates, through models that are made of the declaration in config.py with create_model(), which 1.10 and
2.x share. It is imported only for files that have changed: the helper reads the configuration for every request.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from kdumphpd import fields
from kdumphpd.config import Config, LoaderChoice, expected

VENDOR_FILE = "usr/lib/kdumphpd/kdumphpd.toml"
ADMIN_FILE = "etc/kdumphpd.toml"
# Drop-ins of both, merged by file name as systemd does; the administrator's replaces the vendor's of that name.
DROPIN_FOLDERS = ("usr/lib/kdumphpd/kdumphpd.toml.d", "etc/kdumphpd.toml.d")

MAX_FILE = 1 << 20  # bytes; more is no configuration of ours


class ConfigError(Exception):
    """The configuration can't be used; the message names file and key, in operators' words."""


def load(root: Path) -> Config:
    """The configuration below `root`. Raises ConfigError; missing files are no error, all have defaults."""
    return _read_all(root, list(_files(root)))


def load_kept(root: Path, kept: Path) -> Config:
    """As load(), from `kept` where no file has changed since; what is read is kept there. Raises ConfigError."""
    paths = list(_files(root))
    stamp = [_stamp(path) for path in paths]
    try:
        known = json.loads(kept.read_text())
        if known["files"] == stamp:
            return fields.build(Config, known["config"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    config = _read_all(root, paths)
    draft = kept.with_suffix(f".{os.getpid()}")  # another request may do the same
    try:
        draft.write_text(json.dumps({"files": stamp, "config": dataclasses.asdict(config)}))
        draft.replace(kept)
    except OSError:  # the next request takes longer, and that is all
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return config


def recall(kept: Path) -> Config:
    """The last configuration that was right, whatever the files hold now. Raises ConfigError where none is kept."""
    try:
        return fields.build(Config, json.loads(kept.read_text())["config"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"no earlier configuration is known: {error}") from error


def _read_all(root: Path, paths: list[Path]) -> Config:
    table: dict[str, Any] = {}
    origin: dict[str, Path] = {}  # dotted key → the file that set it
    for path in paths:
        addition = _read(path)
        _check_keys(addition, Config, path)
        _merge(table, addition, path, origin)
    return _validate(table, origin)


def _stamp(path: Path) -> list[Any]:
    """What changes when a file is written or replaced."""
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    return [str(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _files(root: Path) -> Iterator[Path]:
    for path in (root / VENDOR_FILE, root / ADMIN_FILE):
        try:
            path.lstat()  # a link that leads nowhere is there: whoever made it does not want the defaults
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
    import tomllib

    try:
        # A FIFO in its place is nothing to wait for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ConfigError(f"{path} is larger than {MAX_FILE} bytes; that is no configuration of kdumphpd")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # ValueError: TOML's, Unicode's and overlong numbers'
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _check_keys(table: Mapping[str, Any], model: Any, path: Path, above: str = "") -> None:
    """Refuse unknown keys, sections that are no tables and values of another kind, while the file's name is known."""
    kinds = get_type_hints(model)
    for key, value in table.items():
        dotted = above + key
        if key not in kinds:
            raise ConfigError(f"{path}: unknown key {dotted}; known here: {', '.join(sorted(kinds))}")
        section = dataclasses.is_dataclass(kinds[key])
        if section and not isinstance(value, dict):
            raise ConfigError(f"{path}: {dotted} is a section, write it as [{dotted}]")
        if section:
            _check_keys(value, kinds[key], path, dotted + ".")
        elif not _is_of_kind(value, kinds[key]):
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
        return isinstance(value, list) and all(_is_of_kind(word, str) for word in value)
    return isinstance(value, str) and "\0" not in value  # no path and no argument has one


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
    if table:
        _validate_values(table, origin)
    config: Config = fields.build(Config, table)
    if config.events.max_delay < config.events.settle_time:
        path = origin.get("events.max_delay") or origin.get("events.settle_time")
        raise ConfigError(
            f"{path}: events.max_delay ({config.events.max_delay} s) is shorter than events.settle_time "
            f"({config.events.settle_time} s); a burst can't end before it has settled"
        )
    for loader, key, value in (
        (LoaderChoice.KEXEC, "reload.kexec.kernel", config.reload.kexec.kernel),
        (LoaderChoice.COMMAND, "reload.command", config.reload.command),
    ):
        if config.reload.loader is loader and not value:
            raise ConfigError(f'{origin["reload.loader"]}: loader = "{loader}" needs {key}, which is not set')
    return config


def _validate_values(table: Mapping[str, Any], origin: Mapping[str, Path]) -> None:
    from pydantic import Field, ValidationError, create_model

    def model(declared: Any) -> Any:
        members: dict[str, Any] = {}
        kinds = get_type_hints(declared)
        for field in dataclasses.fields(declared):
            kind, bounds = kinds[field.name], field.metadata
            if dataclasses.is_dataclass(kind):
                members[field.name] = (model(kind), Field(default=None))
            elif kind is float:
                members[field.name] = (float, Field(default=field.default, ge=bounds["ge"], le=bounds["le"]))
            else:
                members[field.name] = (kind, Field(default=field.default))
        return create_model(declared.__name__, **members)

    try:
        model(Config)(**table)
    except ValidationError as error:
        raise ConfigError(_explain(error, table, origin)) from error


def _explain(error: Any, table: Mapping[str, Any], origin: Mapping[str, Path]) -> str:
    """pydantic's findings in our own words: its texts change from release to release, `loc` does not."""
    lines = []
    for finding in error.errors():
        known = [str(key) for key in finding["loc"] if str(key).isidentifier()]
        dotted = ".".join(known)
        value: Any = table
        for key in known:
            value = value.get(key) if isinstance(value, dict) else value
        lines.append(f"{origin.get(dotted, 'configuration')}: {dotted} is {value!r}; expected {expected(dotted)}")
    return "\n".join(lines)
