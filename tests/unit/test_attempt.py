# SPDX-License-Identifier: GPL-2.0-or-later
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from kdumphpd.image.ranges import Range
from kdumphpd.image.verdict import State, Verdict
from kdumphpd.kernel.crash_hotplug import Answer, Capability
from kdumphpd.reload.attempt import Attempt, World, attempt
from kdumphpd.reload.run import LoadFailed, NotReady
from kdumphpd.reload.way import Method, Way
from kdumphpd.sight import Sight

SHORT = Verdict(State.STALE, missing=(Range(0x100000000, 0x13FFFFFFF),))
SHORT_ELSEWHERE = Verdict(State.STALE, missing=(Range(0x200000000, 0x23FFFFFFF),))
RIGHT = Verdict(State.CURRENT)


def sight(verdict: Verdict | None) -> Sight:
    return Sight(Capability(loaded=True, cpu=Answer.NO, memory=Answer.NO), verdict)


@dataclass
class Machine:
    """What each method does to the image: the verdict on the one it leaves, or the error it ends with."""

    does: dict[Method, Verdict | Exception | None]
    image: Verdict | None = SHORT
    armed: bool = True
    drops: frozenset[Method] = frozenset()  # fail after the old image is gone
    unfit: frozenset[Method] = frozenset()  # have a file that can't be loaded
    tried: list[Method] = field(default_factory=list)

    def load(self, way: Way) -> None:
        self.tried.append(way.method)
        outcome = self.does[way.method]
        if isinstance(outcome, Exception):
            self.armed &= way.method not in self.drops
            raise outcome
        self.armed, self.image = way.method not in self.drops, outcome

    def check(self, way: Way) -> None:
        if way.method in self.unfit:
            raise NotReady("the initrd is cut short")

    def attempt(self, *, before: Verdict | None = SHORT, burnt: Sequence[str] = ()) -> Attempt:
        ways = [Way(f"the {method} way", method, lambda timeout: None) for method in self.does]
        world = World(self.check, self.load, lambda: self.armed, lambda: sight(self.image))
        return attempt(ways, sight(before), burnt, world)


REFUSED = LoadFailed("kexec failed: Operation not permitted")


def test_the_first_way_that_leaves_a_right_image_is_the_last_that_is_tried() -> None:
    machine = Machine({Method.LOAD: RIGHT, Method.FILE: RIGHT, Method.OWN: RIGHT})
    done = machine.attempt()
    assert machine.tried == [Method.LOAD]
    assert done.way is not None
    assert (done.way.method, done.failures, done.burnt) == (Method.LOAD, [], set())


def test_what_fails_is_followed_by_the_next_and_the_distributions_own_comes_last() -> None:
    machine = Machine(
        {Method.LOAD: REFUSED, Method.FILE: LoadFailed("not implemented"), Method.OWN: RIGHT},
        drops=frozenset({Method.FILE}),
    )
    done = machine.attempt()
    assert machine.tried == [Method.LOAD, Method.FILE, Method.OWN]
    assert done.succeeded
    assert done.failures == ["kexec failed: Operation not permitted", "not implemented"]
    assert done.burnt == set()


def test_what_unloads_before_it_loads_is_not_tried_for_an_image_that_is_still_there() -> None:
    machine = Machine({Method.LOAD: REFUSED, Method.FILE: LoadFailed("not implemented"), Method.OWN: RIGHT})
    done = machine.attempt()
    assert machine.tried == [Method.LOAD, Method.FILE]
    assert machine.armed
    assert not done.succeeded


def test_where_there_is_no_other_way_it_is_tried_all_the_same() -> None:
    machine = Machine({Method.OWN: RIGHT})
    assert machine.attempt().succeeded


def test_an_image_that_lacks_what_the_old_one_lacked_is_tried_another_way_once() -> None:
    machine = Machine({Method.LOAD: SHORT, Method.FILE: RIGHT, Method.OWN: RIGHT})
    done = machine.attempt()
    assert machine.tried == [Method.LOAD, Method.FILE]
    assert done.burnt == {Method.LOAD}
    assert done.seen is not None
    assert done.seen.current


def test_what_no_way_sees_is_left_and_the_distributions_own_is_not_tried_for_it() -> None:
    machine = Machine({Method.LOAD: SHORT, Method.FILE: REFUSED, Method.OWN: RIGHT})
    done = machine.attempt()
    assert machine.tried == [Method.LOAD, Method.FILE]
    assert done.burnt == {Method.LOAD, Method.FILE}
    assert done.succeeded
    assert done.seen is not None
    assert done.seen.stale


def test_a_second_way_that_leaves_nothing_is_made_good_with_the_first() -> None:
    machine = Machine({Method.LOAD: SHORT, Method.FILE: REFUSED}, drops=frozenset({Method.FILE}))
    done = machine.attempt()
    assert machine.tried == [Method.LOAD, Method.FILE, Method.LOAD]
    assert machine.armed
    assert done.succeeded
    assert done.burnt == {Method.LOAD, Method.FILE}


def test_what_happened_while_it_was_loaded_burns_no_way() -> None:
    machine = Machine({Method.LOAD: SHORT_ELSEWHERE, Method.FILE: RIGHT})
    done = machine.attempt()
    assert machine.tried == [Method.LOAD]
    assert done.burnt == set()
    assert done.seen is not None
    assert done.seen.stale


def test_a_burnt_way_is_tried_only_where_no_other_works() -> None:
    machine = Machine({Method.LOAD: RIGHT, Method.FILE: RIGHT, Method.OWN: RIGHT})
    machine.attempt(burnt=["load"])
    assert machine.tried == [Method.FILE]
    machine = Machine({Method.LOAD: RIGHT, Method.FILE: REFUSED})
    assert machine.attempt(burnt=["load"]).succeeded
    assert machine.tried == [Method.FILE, Method.LOAD]


def test_with_every_way_burnt_one_of_them_is_used_and_not_both() -> None:
    machine = Machine({Method.LOAD: SHORT, Method.FILE: SHORT})
    assert machine.attempt(burnt=["file", "load"]).succeeded
    assert machine.tried == [Method.LOAD]


def test_a_loader_that_was_killed_after_its_work_has_worked() -> None:
    class Killed(Machine):
        def load(self, way: Way) -> None:
            super().load(way)
            raise LoadFailed("kexec failed with status -9")

    machine = Killed({Method.LOAD: RIGHT, Method.FILE: RIGHT})
    done = machine.attempt()
    assert machine.tried == [Method.LOAD]
    assert done.succeeded


def test_a_loader_that_reports_success_without_an_image_is_not_believed() -> None:
    machine = Machine({Method.LOAD: RIGHT, Method.OWN: RIGHT}, drops=frozenset({Method.LOAD}))
    done = machine.attempt()
    assert machine.tried == [Method.LOAD, Method.OWN]
    assert done.failures == ["the load way reported success, but no image is loaded"]


def test_a_file_that_can_not_be_loaded_is_found_before_anything_is_touched() -> None:
    machine = Machine({Method.LOAD: RIGHT, Method.OWN: RIGHT}, unfit=frozenset({Method.LOAD}))
    with pytest.raises(NotReady, match="cut short"):
        machine.attempt()
    assert machine.tried == []


def test_with_nothing_to_lose_a_file_in_doubt_is_tried_all_the_same() -> None:
    machine = Machine({Method.LOAD: REFUSED, Method.OWN: RIGHT}, armed=False, unfit=frozenset(Method))
    assert machine.attempt(before=Verdict(State.NO_IMAGE)).succeeded
    assert machine.tried == [Method.LOAD, Method.OWN]


def test_where_nothing_works_every_answer_is_kept() -> None:
    machine = Machine({Method.LOAD: REFUSED, Method.OWN: LoadFailed("no initrd")}, drops=frozenset(Method))
    done = machine.attempt()
    assert not done.succeeded
    assert done.seen is None
    assert done.failures == ["kexec failed: Operation not permitted", "no initrd"]


def test_an_image_that_nobody_can_read_counts_as_right() -> None:
    machine = Machine({Method.LOAD: Verdict(State.UNREADABLE, detail="lockdown"), Method.FILE: RIGHT})
    done = machine.attempt(before=None)
    assert machine.tried == [Method.LOAD]
    assert done.succeeded
