# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON of another process into dataclasses: what fits, and that nothing else does."""

import dataclasses
import json
from dataclasses import dataclass, field
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdumphpd import fields


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    name: str
    number: int = 0
    share: float = 0.0
    flag: bool = False
    colour: Colour | None = None
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    table: dict[str, list[int]] = field(default_factory=dict)


FULL = Model("x", 7, 0.5, True, Colour.RED, Inner(("a",)), (Inner(),), {"/k": [1, 2]})


def test_what_was_written_is_read() -> None:
    assert fields.parse(Model, json.dumps(dataclasses.asdict(FULL))) == FULL


def test_what_has_a_default_may_be_missing() -> None:
    assert fields.parse(Model, '{"name": "x"}') == Model("x")


def test_a_whole_number_is_a_number_with_a_fraction_too() -> None:
    share = fields.parse(Model, '{"name": "x", "share": 1}').share
    assert (share, type(share)) == (1.0, float)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "missing"),
        ("[]", "not an object"),
        ("{", "Expecting"),
        ('{"name": "x", "other": 1}', "unknown fields: other"),
        ('{"name": 1}', "name is '1', not a str"),
        ('{"name": "x", "number": 1.5}', "number is '1.5', not a int"),
        ('{"name": "x", "number": true}', "number is 'True', not a int"),
        ('{"name": "x", "number": 18446744073709551616}', "not a int"),
        ('{"name": "x", "share": NaN}', "share is 'nan', not a float"),
        ('{"name": "x", "share": Infinity}', "share is 'inf', not a float"),
        ('{"name": "x", "share": 1' + "0" * 400 + "}", "not a float"),
        ('{"name": "x", "share": true}', "not a float"),
        ('{"name": "x", "flag": 1}', "flag is '1', not a bool"),
        ('{"name": "x", "colour": "blue"}', "'blue' is not a valid Colour"),
        ('{"name": "x", "inner": {"words": "ab"}}', "words is not a list"),
        ('{"name": "x", "inner": 1}', "inner is not an object"),
        ('{"name": "x", "table": {"/k": 1}}', "is not a list"),
        ('{"name": "x", "table": []}', "table is not an object"),
        ("[" * 100000, ""),
        ("1" * 5000, ""),
    ],
)
def test_everything_else_is_one_error_that_says_why(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        fields.parse(Model, text)
    assert sentence in str(caught.value)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=4), lambda x: st.lists(x, max_size=3)))
def test_whatever_a_field_holds_it_fits_or_is_an_error(value: object) -> None:
    for name in (member.name for member in dataclasses.fields(Model)):
        content = {"name": "x", name: value}
        try:
            fields.build(Model, content)
        except ValueError:
            continue
