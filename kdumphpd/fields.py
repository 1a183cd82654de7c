# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON into dataclasses, strictly: what another process or an earlier run has written is not trusted to fit."""

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_hints = cache(get_type_hints)


def parse(model: type[T], text: bytes | str) -> T:
    """The dataclass `model` from a JSON object. Raises ValueError for everything else, whatever it is."""
    try:
        return build(model, json.loads(text))
    except (RecursionError, ArithmeticError) as error:
        raise ValueError(f"not a {model.__name__}: {error}") from error


def build(model: type[T], value: object) -> T:
    """The dataclass `model` from a mapping that has its fields, or those without a default, and no others.

    Raises ValueError.
    """
    return _convert(value, model, model.__name__)  # type: ignore[no-any-return]


def _convert(value: Any, kind: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _dataclass(value, kind, name)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(kind):
            return None
        (inner,) = (option for option in get_args(kind) if option is not type(None))
        return _convert(value, inner, name)
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} is not a list")
        return origin(_convert(item, get_args(kind)[0], name) for item in value)
    if origin is dict:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise ValueError(f"{name} is not an object")
        return {key: _convert(item, get_args(kind)[1], name) for key, item in value.items()}
    return _scalar(value, kind, name)


def _scalar(value: Any, kind: Any, name: str) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        # Beyond 2**53 an integer may be larger than any float, and no number here is.
        if abs(value) < 1 << 53 and math.isfinite(value):
            return float(value)
    elif kind is int and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < 1 << 64:
            return value
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)  # raises ValueError
    elif kind in (bool, str) and isinstance(value, kind):
        return value
    raise ValueError(f"{name} is {str(value)[:40]!r}, not a {getattr(kind, '__name__', kind)}")


def _dataclass(value: Any, model: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is not an object")
    hints = _hints(model)
    if unknown := value.keys() - hints.keys():
        raise ValueError(f"{name} has unknown fields: {', '.join(sorted(map(str, unknown)))[:80]}")
    try:
        return model(**{key: _convert(item, hints[key], key) for key, item in value.items()})
    except TypeError as error:  # a field without a default is missing
        raise ValueError(f"{name}: {error}") from error
