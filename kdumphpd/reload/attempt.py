# SPDX-License-Identifier: GPL-2.0-or-later
"""One attempt to load the image: the ways in turn, until one leaves an image that is right.

Which way comes next is decided by what is seen after the one before; looking and loading are arguments.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from kdumphpd.reload.run import LoadFailed
from kdumphpd.reload.way import Method, Way
from kdumphpd.sight import Sight


@dataclass
class Attempt:
    """How it ended."""

    way: Way | None = None  # the one whose image is loaded, where that is known
    seen: Sight | None = None  # what is loaded now, where an image is
    failures: list[str] = field(default_factory=list)  # what the ways answered that did not work
    # Methods whose image lacks what it ought to have: they do not see it, and would not see it another time.
    burnt: set[Method] = field(default_factory=set)

    @property
    def succeeded(self) -> bool:
        return self.way is not None


@dataclass(frozen=True)
class World:
    """What an attempt does and sees."""

    check: Callable[[Way], None]  # looks at the files of a way. Raises NotReady
    load: Callable[[Way], None]  # raises LoadFailed
    armed: Callable[[], bool]
    look: Callable[[], Sight]


def attempt(ways: Sequence[Way], before: Sight, burnt: Collection[str], world: World) -> Attempt:
    """Try `ways`, the burnt ones last. Raises NotReady, with nothing touched, where a file can't be loaded."""
    done = Attempt()
    for way in sorted(ways, key=lambda way: way.method in burnt):
        if done.succeeded and way.method in burnt:
            continue
        # The distribution's own reload sees no more than the others did. It unloads before it loads, and what they
        # could not load it would not either: an image that is out of date is better than none.
        if way.method is Method.OWN and (done.succeeded or (done.failures and world.armed())):
            continue
        if _try(way, before, done, world):
            return done
    if done.way and not world.armed():
        # Another way was tried for what this one does not see, and left nothing at all.
        _try(done.way, before, done, world)
    return done


def _try(way: Way, before: Sight, done: Attempt, world: World) -> bool:
    """Whether this is the end of it: an image is loaded, and nothing that another way could mend is wrong with it."""
    failure = ""
    if world.armed():  # with nothing to lose, whatever the loader makes of its files is worth a try
        world.check(way)
    try:
        world.load(way)
    except LoadFailed as error:
        failure = str(error)
    armed = world.armed()
    if not armed and not failure:
        failure = f"{way.name} reported success, but no image is loaded"
    if failure:
        done.failures.append(failure)
    if done.succeeded and way.method is not Method.OWN:
        done.burnt.add(way.method)  # the other way, tried once for what the first one does not see
    if not armed:
        return False
    seen = world.look()
    # A loader that was killed may have done its work: what counts is what is loaded.
    if failure and not seen.current:
        return False
    done.way, done.seen = way, seen
    if not lacks_the_same(before, seen):
        done.burnt.discard(way.method)
        return True
    if way.method is not Method.OWN:
        done.burnt.add(way.method)
    return False


def lacks_the_same(before: Sight, after: Sight) -> bool:
    """Whether something that was wrong before the load is wrong after it: the loader did not see it.

    What is wrong after it alone has happened while it ran.
    """
    return before.verdict is not None and after.verdict is not None and after.verdict.shares_a_fault(before.verdict)
