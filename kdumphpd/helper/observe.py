# SPDX-License-Identifier: GPL-2.0-or-later
"""Observing: the machine, the loaded image or why it can't be read, and what the kernel reports."""

from dataclasses import dataclass, replace
from pathlib import Path

from kdumphpd import journal
from kdumphpd.config import Config, Verify
from kdumphpd.helper.record import Record
from kdumphpd.image.errors import Cause, ImageError
from kdumphpd.image.examine import examine, unread
from kdumphpd.image.fingerprint import Fingerprint, read_fingerprint
from kdumphpd.image.reader import Image
from kdumphpd.image.verdict import ImageState, Verdict
from kdumphpd.kernel import fadump
from kdumphpd.kernel.crash_hotplug import Answer, Capability, confirm, is_known, read_capability
from kdumphpd.kernel.kmsg import KernelError, kernel_errors
from kdumphpd.runtime import LAYOUT

log = journal.logger()


@dataclass(frozen=True)
class Observation:
    """What there was at one moment."""

    verdict: Verdict
    capability: Capability  # what the kernel reports, the shim's answer
    machine: Fingerprint | None  # None: /proc/iomem or sysfs does not tell
    image: Image | None = None  # None: not read
    errors: tuple[KernelError, ...] = ()  # since the last one that was handled
    fadump: bool = False  # firmware-assisted dump: no image, and CPUs are the firmware's business
    kernel_can: bool = False  # this kernel updates images, if it is permitted to
    settled: bool = True  # no CPUs or memory were changing, as far as whoever asked could tell

    @property
    def loaded(self) -> bool:
        """An image is loaded, or fadump registered."""
        if self.verdict.state is ImageState.UNREADABLE:
            return self.capability.loaded
        return self.verdict.state is not ImageState.NO_IMAGE

    @property
    def readable(self) -> bool:
        return self.verdict.state in (ImageState.CURRENT, ImageState.STALE, ImageState.UNSAFE)

    @property
    def unread(self) -> bool:
        """There is an image that could have been read."""
        return self.loaded and not (self.readable or self.fadump)

    @property
    def stale(self) -> bool:
        return self.verdict.state is ImageState.STALE

    @property
    def updatable(self) -> bool:
        """The kernel updates this image from now on: by its own bits, else by what the kernel reports.

        An elfcorehdr that is not reserved as a whole is no reason to say no: a reload would leave the same, and on
        PowerPC lose memory that was added since the boot, which kexec does not see.
        """
        if self.image is None:
            return self.capability.updates
        return self.image.kimage.updatable and not self.image.checksummed

    @property
    def identity(self) -> str:
        return self.image.identity if self.image else ""

    @property
    def last_error(self) -> int:
        """Sequence number of the last kernel error; -1 for none."""
        return self.errors[-1].sequence if self.errors else -1


def observe(root: Path, config: Config, record: Record, *, settled: bool) -> Observation:
    """`settled` False: CPUs or memory still change, and crash_hotplug is not read."""
    # First, and once: it takes the kexec lock, so that a later load or update can't meet it.
    capability = read_capability(root, settled=settled)
    observed = Observation(
        verdict=Verdict(ImageState.NO_IMAGE),
        capability=capability,
        machine=_machine(root),
        errors=_errors(root, record),
        fadump=fadump.is_enabled(root),
        kernel_can=is_known(root),
        settled=settled,
    )
    if observed.fadump:
        state = unread(Cause.NOT_READ, "fadump has no image to read") if capability.loaded else observed.verdict
        return replace(observed, verdict=state)
    if config.verify.image is Verify.NEVER or (config.verify.image is Verify.IN_DOUBT and capability.updates):
        asked = unread(Cause.NOT_READ, f'verify.image is "{config.verify.image}"')
        observed = replace(observed, verdict=asked if capability.loaded else observed.verdict)
    else:
        image, verdict = examine(root, root / LAYOUT)
        observed = replace(observed, verdict=verdict, image=image)
    if settled and (observed.image.kimage.updatable if observed.image else observed.loaded):
        # A `0` is what the kernel says while its lock is busy, too.
        observed = replace(observed, capability=confirm(root, capability))
    _compare(observed)
    return observed


def _compare(observed: Observation) -> None:
    """Say where the kernel's report and the image's own bits differ."""
    answers = {observed.capability.cpu, observed.capability.memory}
    if observed.image and observed.kernel_can and answers in ({Answer.YES}, {Answer.NO}):
        reported = answers == {Answer.YES}
        if reported != observed.image.kimage.updatable:
            log.warning(
                f"crash_hotplug says {int(reported)}, but by its own bits the kernel "
                f"{'updates' if observed.image.kimage.updatable else 'does not update'} the loaded image; "
                "what the image holds decides"
            )


def _machine(root: Path) -> Fingerprint | None:
    try:
        return read_fingerprint(root)
    except (OSError, ImageError) as error:
        log.warning(f"cannot tell which CPUs and memory the machine has: {error}")
        return None


def _errors(root: Path, record: Record) -> tuple[KernelError, ...]:
    try:
        return tuple(kernel_errors(root, record.handled))
    except OSError as error:
        log.warning(f"cannot read the kernel's messages, so errors of its own updates stay unknown: {error}")
        return ()
