# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever arrives at an edge is a value of its type or the edge's own error, nothing else."""

import json
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from kdumphpd import config_file, state
from kdumphpd.config import Config
from kdumphpd.config_file import ADMIN_FILE, ConfigError
from kdumphpd.kernel.kmsg import KernelError, parse
from kdumphpd.protocol import (
    Outcome,
    Progress,
    ProtocolError,
    Reason,
    Request,
    Result,
    decode,
    decode_request,
    encode,
)
from kdumphpd.runtime import STATE
from kdumphpd.state import State, StateError

HUGE = 10**400

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([HUGE, -HUGE])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*Outcome, "kexec", "always"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)

RESULT_FIELDS = ["kind", "outcome", "reason", "detail", "loader", "seconds", "unprotected", "armed", "kernel_updates"]
ANSWERS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["result", "progress"]) | VALUES},
    optional=dict.fromkeys([*RESULT_FIELDS[1:], "step", "self", "other"], VALUES),
)

# --- the helper's socket -------------------------------------------------------------------------------------


def answer_or_error(line: bytes) -> None:
    try:
        message = decode(line)
    except ProtocolError:
        return
    assert isinstance(message, Progress | Result)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_out_of_protocol(line: bytes) -> None:
    answer_or_error(line)


@given(VALUES | ANSWERS)
def test_any_json_is_an_answer_or_out_of_protocol(value: object) -> None:
    answer_or_error(json.dumps(value).encode())


@given(
    st.builds(
        Result,
        outcome=st.sampled_from(Outcome),
        reason=st.none() | st.sampled_from(Reason),
        detail=st.text(max_size=200),
        loader=st.text(max_size=20),
        seconds=st.floats(0, 1e6),
        unprotected=st.floats(0, 1e6),
        armed=st.booleans(),
        kernel_updates=st.booleans(),
    )
    | st.builds(Progress, step=st.text(max_size=200))
)
def test_an_answer_survives_the_way_and_is_one_line(message: Progress | Result) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode(line) == message


@given(st.binary(max_size=40) | st.sampled_from([f"{request}\n".encode() for request in Request]))
def test_any_bytes_are_a_request_or_out_of_protocol(line: bytes) -> None:
    try:
        request = decode_request(line)
    except ProtocolError:
        assert line not in {f"{request}\n".encode() for request in Request}
        return
    assert line.rstrip(b"\n") == request.encode()


# --- the configuration ------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *(
            "events.settle_time",
            "events.max_delay",
            "reload.loader",
            "reload.timeout",
            "reload.kexec.kernel",
            "verify.image",
        ),
        *("events", "reload", "reload.kexec", "verify", "unknown", '"quo ted"', "events.unknown"),
    ]
)
TOML_VALUES = st.one_of(
    st.integers().map(str),
    st.sampled_from([str(HUGE), str(-HUGE)]),
    st.just("1" + "0" * 5000),
    st.floats().map(lambda number: repr(number).replace("e+", "e")),
    st.sampled_from(
        ["true", "false", "nan", "inf", "-inf", "1979-05-27", "07:32:00", "{}", "[]", "[1, 'x']", "{a = 1}"]
    ),
    st.sampled_from(['"auto"', '"kexec"', '"always"', '""', "'x'", "1.0", "5", "0.05"]),
    st.text(max_size=10),
)
TABLES = st.lists(
    st.tuples(KEYS, TOML_VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}")
    | KEYS.map(lambda key: f"[{key}]")
    | st.text(max_size=20),
    max_size=6,
).map("\n".join)


def load(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ADMIN_FILE
        path.parent.mkdir()
        path.write_bytes(data)
        try:
            settings = config_file.load(Path(folder))
        except ConfigError as error:
            assert str(path) in str(error)
            return
    assert isinstance(settings, Config)
    assert 0.05 <= settings.events.settle_time <= settings.events.max_delay <= 3600
    assert 1 <= settings.reload.timeout <= 3600


@given(TABLES)
@example("events.settle_time = nan")
@example(f"events.settle_time = {HUGE}")
@example("events.settle_time = 1" + "0" * 5000)
def test_anything_like_toml_is_a_configuration_or_refused_by_name(text: str) -> None:
    load(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_configuration_or_refused_by_name(data: bytes) -> None:
    load(data)


# --- the state file ---------------------------------------------------------------------------------------

STATE_FIELDS = [
    "started",
    "status",
    "healthy",
    "receive_buffer",
    "events",
    "bursts",
    "unprotected",
    "last_burst",
    "last_check",
    "other",
]
STATES = st.fixed_dictionaries(
    {
        "started": st.floats() | VALUES,
        "status": st.text() | VALUES,
        "healthy": st.booleans(),
        "receive_buffer": VALUES,
    },
    optional=dict.fromkeys(STATE_FIELDS[4:], VALUES),
)


def read(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / STATE
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        try:
            found = state.read(Path(folder))
        except StateError as error:
            assert str(path) in str(error)
            return
    assert isinstance(found, State)


@given(VALUES | STATES)
def test_any_json_is_a_state_or_refused_by_name(value: object) -> None:
    read(json.dumps(value).encode())


@given(st.binary(max_size=100))
@example(b"[" * 100000)
def test_any_bytes_are_a_state_or_refused_by_name(data: bytes) -> None:
    read(data)


# --- the kernel's messages --------------------------------------------------------------------------------


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda tail: b"4,1,1,-;crash hp: " + tail))
def test_any_record_is_a_kernel_error_or_none(record: bytes) -> None:
    assert isinstance(parse(record), KernelError | None)
