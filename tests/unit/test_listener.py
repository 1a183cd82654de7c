# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from kdumphpd import client, memo, state
from kdumphpd.config import Config, StormConfig, Verify, VerifyConfig
from kdumphpd.kernel.loaded import CRASH_LOADED
from kdumphpd.listener import Listener
from kdumphpd.protocol import Outcome, Result, Verb, encode
from tests.unit.leftovers import run_async
from tests.unit.test_client import root_part
from tests.unit.trees import kernel

QUICK = StormConfig(quiet=0.05, max_delay=0.2)

CURRENT = Result(outcome=Outcome.CURRENT, armed=True, kernel_updates=True)
RELOADED = Result(
    outcome=Outcome.RELOADED, armed=True, loader="kexec", seconds=1.2, unprotected=0.2, kernel_updates=True
)
STALE = Result(outcome=Outcome.STALE, armed=True, seconds=1.0, unprotected=0.5, detail="2 GiB are missing")
FAILED = Result(outcome=Outcome.FAILED, armed=False, detail="no memory")


class Seen:
    """What a running listener let the outside see."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.notified: list[str] = []
        self.state: state.State | None = None

    @property
    def sentence(self) -> str:
        assert self.state is not None
        assert self.state.last is not None
        return self.state.last.sentence


def listen(
    root: Path,
    *answers: Result,
    config: Config | None = None,
    storms: int = 1,
    meanwhile: Callable[[Listener], None] = lambda listener: None,
) -> Seen:
    """Run a listener on a real uevent socket until it has answered `storms`; root's part gives `answers`."""
    seen = Seen()
    (root / state.STATE).parent.mkdir(parents=True, exist_ok=True)
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.requests.append((await reader.readline()).decode().strip())
        if left:
            writer.write(encode(left.pop(0)))

    async def request(verb: Verb, limit: float) -> Result:
        return await client.request(root, verb, limit)

    def answered() -> int:
        try:
            return state.read(root).storms
        except state.StateError:
            return 0

    async def main() -> None:
        async with root_part(root, answer):
            subject = Listener(root, config or Config(storm=QUICK), request, seen.notified.append)
            work = asyncio.create_task(subject.run())
            await asyncio.sleep(0)
            meanwhile(subject)
            async with asyncio.timeout(30):
                while answered() < storms and not work.done():
                    await asyncio.sleep(0.01)
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        seen.state = state.read(root)

    run_async(main())
    return seen


def test_at_the_start_the_image_is_looked_at_for_nobody_knows_what_has_changed(tmp_path: Path) -> None:
    seen = listen(kernel(tmp_path), CURRENT)
    assert seen.requests == ["upgrade"]
    assert seen.sentence == (
        "everything may have changed (kdumphpd has just started): the kernel keeps the kdump image current"
    )
    assert seen.notified[-1] == "STATUS=Armed; the kernel keeps the image current"


def test_a_machine_without_an_image_is_left_alone_and_root_is_not_asked(tmp_path: Path) -> None:
    seen = listen(kernel(tmp_path, loaded="0\n"))
    assert seen.requests == []
    assert "none was loaded by us; left alone" in seen.sentence
    assert seen.state is not None
    assert seen.state.healthy
    assert seen.notified[-1].startswith("STATUS=No kdump image is loaded")


def test_an_image_that_we_owe_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / memo.FOLDER).mkdir(parents=True)
    memo.write(tmp_path, memo.Memo(owed=True))
    seen = listen(kernel(tmp_path, loaded="0\n"), RELOADED)
    assert seen.requests == ["upgrade"]
    assert "an earlier reload did not finish, reloaded in 1.2 s, 0.2 s without an image" in seen.sentence


def test_an_image_that_the_kernel_may_not_touch_is_reloaded_and_the_times_are_kept(tmp_path: Path) -> None:
    seen = listen(kernel(tmp_path, cpu="0\n", memory="0\n"), RELOADED)
    assert seen.state is not None
    assert seen.state.last is not None
    assert (seen.state.storms, seen.state.reloads, seen.state.failures) == (1, 1, 0)
    assert (seen.state.last.seconds, seen.state.unprotected) == (1.2, 0.2)
    assert seen.state.last.stale > 0
    assert seen.sentence.endswith(
        "the loaded image cannot be updated by the kernel, reloaded in 1.2 s, 0.2 s without an image; "
        "from now on the kernel keeps it current"
    )


@pytest.mark.parametrize(("verify", "requests"), [(Verify.ALWAYS, 1), (Verify.IN_DOUBT, 0), (Verify.NEVER, 0)])
def test_the_kernels_word_is_checked_where_the_configuration_says_so(
    tmp_path: Path, verify: Verify, requests: int
) -> None:
    config = Config(storm=QUICK, verify=VerifyConfig(image=verify))
    seen = listen(kernel(tmp_path), CURRENT, config=config)
    assert len(seen.requests) == requests
    assert seen.state is not None
    assert seen.state.healthy


def test_a_failed_reload_is_said_and_tried_again(tmp_path: Path) -> None:
    seen = listen(kernel(tmp_path, cpu="0\n"), FAILED, RELOADED, storms=2)
    assert seen.requests == ["upgrade", "upgrade"]
    assert any("UNPROTECTED" in line for line in seen.notified)
    assert seen.state is not None
    assert (seen.state.failures, seen.state.reloads, seen.state.healthy) == (1, 1, True)
    assert "the last attempt failed" in seen.sentence


def test_only_the_first_image_that_is_seen_to_is_asked_an_upgrade_for(tmp_path: Path) -> None:
    def change(subject: Listener) -> None:
        asyncio.get_running_loop().call_later(1.0, subject._assume, "a test says so")

    seen = listen(kernel(tmp_path), CURRENT, CURRENT, storms=2, meanwhile=change)
    assert seen.requests == ["upgrade", "rearm"]


def test_a_reload_that_was_put_off_is_asked_for_again_and_what_comes_meanwhile_waits_for_it(tmp_path: Path) -> None:
    def change(subject: Listener) -> None:
        for delay in (1.2, 1.5):
            asyncio.get_running_loop().call_later(delay, subject._assume, "a test says so")

    later = Result(outcome=Outcome.DEFERRED, reason="image-stale", armed=True, detail="1 GiB is missing", wait=2.5)
    seen = listen(kernel(tmp_path, memory="0\n"), later, RELOADED, storms=2, meanwhile=change)
    assert seen.requests == ["upgrade", "upgrade"]
    assert any("The kdump image is out of date; looking at it again in 2 s" in line for line in seen.notified)
    assert seen.sentence.startswith("everything may have changed (a reload was put off): ")
    assert seen.state is not None
    assert (seen.state.storms, seen.state.failures, seen.state.reloads) == (2, 0, 1)


def test_a_root_part_that_hangs_up_is_asked_again(tmp_path: Path) -> None:
    seen = listen(kernel(tmp_path), storms=1)
    assert seen.state is not None
    assert not seen.state.healthy
    assert "hung up without a result" in seen.sentence
    assert "; trying again in 1 s" in seen.sentence
    assert seen.notified[-1] == "STATUS=The rearm step does not answer; the kdump image may be out of date"


def test_an_image_that_a_reload_did_not_mend_is_not_reloaded_for_ever(tmp_path: Path) -> None:
    seen = listen(kernel(tmp_path, memory="0\n"), STALE)
    assert seen.state is not None
    assert not seen.state.healthy
    assert "2 GiB are missing" in seen.sentence
    assert "trying again" not in seen.sentence


def test_a_request_that_is_refused_says_nothing_of_the_image(tmp_path: Path) -> None:
    seen = listen(kernel(tmp_path), Result(outcome=Outcome.REFUSED, detail="unknown request"))
    assert not any("UNPROTECTED" in line for line in seen.notified)


def test_a_new_configuration_holds_for_the_storm_that_blows(tmp_path: Path) -> None:
    def reconfigure(subject: Listener) -> None:
        subject.reconfigure(Config(storm=QUICK, verify=VerifyConfig(image=Verify.NEVER)))

    assert listen(kernel(tmp_path), CURRENT, meanwhile=reconfigure).requests == []


def test_a_state_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    async def main() -> list[str]:
        asked = asyncio.Event()

        async def request(verb: Verb, limit: float) -> Result:
            asked.set()
            return CURRENT

        notified: list[str] = []
        work = asyncio.create_task(Listener(tmp_path, Config(storm=QUICK), request, notified.append).run())
        async with asyncio.timeout(30):
            await asked.wait()
            while not any("Armed" in line for line in notified):
                await asyncio.sleep(0.01)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        return notified

    kernel(tmp_path)
    assert any("Armed" in line for line in run_async(main()))


def test_an_image_that_is_loaded_after_the_change_is_looked_at(tmp_path: Path) -> None:
    # Somebody was loading it: the machine changed meanwhile, and neither that load nor the kernel has seen it.
    root = kernel(tmp_path, loaded="0\n")

    def load(_: Listener) -> None:
        flag = next(path for path in map(root.joinpath, CRASH_LOADED) if path.exists())
        asyncio.get_running_loop().call_later(1.0, flag.write_text, "1\n")

    seen = listen(root, CURRENT, storms=2, meanwhile=load)
    assert seen.requests == ["upgrade"]
    assert seen.sentence.startswith("everything may have changed (an image was loaded meanwhile): ")
