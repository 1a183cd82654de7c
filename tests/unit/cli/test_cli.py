# SPDX-License-Identifier: GPL-2.0-or-later
import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdumphpd import __version__
from kdumphpd.cli import VERBS, inspect, output, verify
from kdumphpd.cli.output import Json, plain
from kdumphpd.image.elfcorehdr import ElfCoreHdr
from kdumphpd.image.errors import Cause
from kdumphpd.image.kimage import KImage, Segment
from kdumphpd.image.ranges import Range
from kdumphpd.image.reader import Image
from kdumphpd.image.verdict import ImageState, Verdict
from tests.unit.cli import machines
from tests.unit.trees import kernel

# What takes longer to import than all that `kdumphpctl status` does.
HEAVY = (
    "pydantic",
    "structlog",
    "asyncio",
    "ssl",
    "hashlib",
    "pyudev",
    "subprocess",
    "kdumphpd.image",
    "kdumphpd.load",
)


def kdumphpctl(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from kdumphpd.cli import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_tells_its_version_and_its_verbs() -> None:
    assert kdumphpctl("--version").stdout == f"kdumphpctl {__version__}\n"
    said = kdumphpctl("--help").stdout
    assert all(verb in said for verb in VERBS)


def test_an_unknown_verb_is_wrong_usage() -> None:
    assert kdumphpctl("dance").returncode == 2


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    done = kdumphpctl(verb, "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout


def test_status_of_an_armed_machine_imports_nothing_heavy(tmp_path: Path) -> None:
    machines.armed(tmp_path)
    script = f"""
import sys
from pathlib import Path
from kdumphpd import cli
from kdumphpd.cli import output, status
assert status.run(output.options(), Path({str(tmp_path)!r})) == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_verify_tells_no_image_by_its_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.run(output.options(), kernel(tmp_path, loaded="0\n")) == 3
    assert capsys.readouterr().out == "no image: no kdump image is loaded\n"


def test_verify_tells_an_image_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.run(output.options(json=Json.SHORT), kernel(tmp_path)) == 4
    assert json.loads(capsys.readouterr().out)["state"] == "unreadable"


@pytest.mark.parametrize(
    ("state", "expected"), [(ImageState.CURRENT, 0), (ImageState.STALE, 1), (ImageState.UNSAFE, 1)]
)
def test_verify_has_an_exit_status_for_every_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: ImageState, expected: int
) -> None:
    monkeypatch.setattr(verify, "examine", lambda root, cache: (None, Verdict(state)))
    assert verify.run(output.options(), tmp_path) == expected
    assert set(verify.EXIT) == set(ImageState)


IMAGE = Image(
    kimage=KImage(False, {"hotplug_support": True}, (Segment(0x1000_0000, 0x2000, 0x1000),)),
    elfcorehdr=ElfCoreHdr(notes=(0x1000,), loads=(Range(0x10_0000, 0x3FFF_FFFF),), size=176),
    fdt=None,
    reservation=(Range(0x1000_0000, 0x1FFF_FFFF),),
    command_line="nr_cpus=1 \x1b[2J",
    identity="0123456789abcdef",
)


def inspected(
    image: Image | None, verdict: Verdict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr(inspect, "examine", lambda root, cache: (image, verdict))
    assert inspect.run(output.options(), Path("/")) == verify.EXIT[verdict.state]
    return capsys.readouterr().out


def test_inspect_shows_the_image_and_ends_with_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = inspected(IMAGE, Verdict(ImageState.CURRENT), monkeypatch, capsys).splitlines()
    assert lines[0] == "loaded with   kexec_load"
    assert lines[1] == "hotplug       the kernel updates it (hotplug_support yes)"
    assert "command line  nr_cpus=1 \\x1b[2J" in lines
    assert "identity      0123456789abcdef" in lines
    assert lines[-1].startswith("verdict       current: ")


def test_inspect_shows_the_reason_where_there_is_nothing_to_show(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = Verdict(ImageState.UNREADABLE, reason=Cause.NO_KCORE, detail="/proc/kcore is missing")
    said = inspected(None, verdict, monkeypatch, capsys)
    assert said == "verdict       unreadable: the loaded image cannot be read: /proc/kcore is missing\n"


def test_plain_leaves_text_and_escapes_what_a_terminal_would_act_on() -> None:
    assert plain("kexec -c (ümlaut)") == "kexec -c (ümlaut)"
    assert plain("a\tb\x1b\ud800") == "a\\x09b\\x1b\\xd800"
