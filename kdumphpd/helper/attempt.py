# SPDX-License-Identifier: GPL-2.0-or-later
"""One attempt to load the image: the methods in turn, until one leaves an image that is new and right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kdumphpd import journal
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import Record
from kdumphpd.load.method import Kind, Method
from kdumphpd.load.run import LoadFailed
from kdumphpd.messages import MessageId
from kdumphpd.protocol import Reason

log = journal.logger()


class Measured(Protocol):
    """A meter: how long a load took, and how much of that no image was loaded. In seconds."""

    seconds: float
    unprotected: float


class LoadOperations(Protocol):
    """What an attempt does and sees."""

    def check(self, method: Method, known: Mapping[str, list[int]]) -> dict[str, list[int]]:
        """Check the files of a method; their identities. Raises NotReady."""

    def load(self, method: Method) -> None:
        """Raises LoadFailed."""

    def is_loaded(self) -> bool: ...
    def is_loaded_now(self) -> bool:
        """The same by one read, where a wrong "no" costs little and waiting for a second read costs a dump."""

    def observe(self, record: Record, *, settled: bool) -> Observation: ...


@dataclass
class Attempt:
    """How it ended."""

    method: Method | None = None  # the one whose image is loaded, where that is known
    observed: Observation | None = None  # what is loaded now, where a new image is
    failures: list[str] = field(default_factory=list)  # what the methods answered that did not work
    # Kinds whose image misses what it ought to have, and would miss it another time.
    ineffective: set[str] = field(default_factory=set)
    files: dict[str, list[int]] = field(default_factory=dict)  # of the method that worked

    @property
    def succeeded(self) -> bool:
        return self.method is not None


@dataclass
class _Run:
    before: Observation
    record: Record
    reason: Reason
    system: LoadOperations
    meter: Measured
    say: Callable[[str], None]
    done: Attempt


def attempt(
    methods: Sequence[Method],
    before: Observation,
    record: Record,
    reason: Reason,
    system: LoadOperations,
    meter: Measured,
    say: Callable[[str], None],
) -> Attempt:
    """Try `methods`, the ineffective ones last. Raises NotReady, with nothing touched, where a file can't be."""
    run = _Run(before, record, reason, system, meter, say, Attempt())
    done = run.done
    for method in sorted(methods, key=lambda method: method.kind in record.ineffective):
        if done.succeeded and method.kind in record.ineffective:
            continue
        # The distribution's own reload sees no more than the others did. It unloads before it loads, and what they
        # could not load it would not either: an image that is out of date is better than none.
        own = method.kind is Kind.DISTRIBUTION
        if own and (done.succeeded or (done.failures and system.is_loaded())):
            continue
        if _try(run, method):
            return done
    if done.method and not system.is_loaded():
        # Another method was tried for what this one does not see, and left nothing at all.
        _try(run, done.method)
    return done


def _try(run: _Run, method: Method) -> bool:
    """Whether this is the end of it: a new image is loaded, and nothing that another method could fix is wrong."""
    system, done = run.system, run.done
    failure, files = "", {}
    had_image = system.is_loaded_now()
    if had_image:  # with nothing to lose, whatever the loader makes of its files is worth a try
        run.say("checking kernel and initrd")
        files = system.check(method, run.record.files)
    unprotected = run.meter.unprotected
    run.say(f"loading the image with {method.name}")
    try:
        system.load(method)
    except LoadFailed as error:
        failure = str(error)
    loaded = system.is_loaded_now() if failure else system.is_loaded()
    if not loaded:
        done.failures.append(failure or f"{method.name} reported success, but no image is loaded")
        return False
    run.say("reading the new image")
    seen = system.observe(run.record, settled=run.before.settled)
    # A loader that was killed may have done its work. One that was refused has left the old image there, and an
    # update by the kernel takes that away for an instant too.
    earlier = (done.observed or run.before).identity
    read = bool(seen.identity and earlier)
    # A kernel that updates images is new enough for every load to change the identity (image/identity.py).
    own = method.kind is Kind.DISTRIBUTION
    absent = run.meter.unprotected > unprotected and not (read and (failure or (own and run.before.kernel_can)))
    if had_image and not absent and not (read and seen.identity != earlier):
        # kexec's success is the kernel's; a script may end in success because somebody else holds its lock.
        if not failure and (read or own):
            failure = f"{method.name} reported success, but the image that is loaded is still the old one"
        if failure:
            done.failures.append(failure)
            return False
    done.method, done.observed, done.files = method, seen, files
    if run.reason is Reason.NOT_UPDATABLE and not seen.updatable:
        return False
    if not shares_a_fault(run.before, seen):
        done.ineffective.discard(method.kind)
        return True
    if not own:
        done.ineffective.add(method.kind)
    return False


def shares_a_fault(before: Observation, after: Observation) -> bool:
    """Whether something that was wrong before the load is wrong after it: the loader did not see it.

    What is wrong after it alone has happened while it ran.
    """
    return after.verdict.shares_a_fault(before.verdict)


def say_lost_keys(before: Observation, after: Observation) -> None:
    had = before.image is not None and before.image.kimage.crypt_keys
    if had and after.image is not None and not after.image.kimage.crypt_keys:
        log.error(
            "the old kdump image had the keys of an encrypted dump target, and the new one has none: a dump to that "
            "target fails. Restart the distribution's kdump service, which saves them again",
            id=MessageId.RELOAD_FAILED,
        )
