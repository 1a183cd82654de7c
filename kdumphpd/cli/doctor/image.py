# SPDX-License-Identifier: GPL-2.0-or-later
"""Is an image loaded, does it describe the machine, may the kernel update it, and can it be read?"""

from collections.abc import Iterable

from kdumphpd.cli import exits
from kdumphpd.cli.doctor.finding import Finding, failure, for_root, ok, skipped, warning
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.doctor.settings import configured
from kdumphpd.cli.health import judge
from kdumphpd.cli.status import reloads
from kdumphpd.config import SyscallChoice
from kdumphpd.image.cmdline import missing
from kdumphpd.image.errors import Cause
from kdumphpd.image.examine import examine
from kdumphpd.image.verdict import ImageState, Verdict
from kdumphpd.runtime import LAYOUT

NAME = "image"

REBOOT = "reboot, for this kernel loads no image any more"
NEWER_KEXEC = "install kexec-tools 2.0.29 or newer"

# Why it can't be read → what helps.
REMEDIES = {
    Cause.KPTR_RESTRICT: "sysctl kernel.kptr_restrict=1 (which is enough for root)",
    Cause.LOCKDOWN: "nothing short of another level of lockdown",
    Cause.NO_PERMISSION: "run it as root on the host, not in a container",
    Cause.HIDDEN: "a newer kernel (arm64 unmaps the image before 6.4)",
    Cause.CONTRADICTION: "restart the distribution's kdump service, and report it",
}


def check(probe: Probe) -> Iterable[Finding]:
    health = judge(probe.facts)
    if probe.facts.loaded is None:
        means = "whether a panic leaves a dump is not known"
        yield warning(NAME, "whether one is loaded can't be told", means, health.hint or "run it as root on the host")
        return
    if not probe.facts.loaded:
        level = warning if health.exit in (exits.NOT_LOADED, exits.UNKNOWN) else failure
        found = "fadump is not registered" if probe.facts.by_fadump else "no image is loaded"
        yield level(NAME, found, "a panic leaves no dump", health.hint or "kdumphpctl status")
        return
    if probe.facts.by_fadump:
        yield ok(NAME, "fadump is registered")
        return
    if not probe.is_root:
        yield for_root(NAME, "an image is loaded; whether it describes the machine is for root to see")
    else:
        cache = probe.root / LAYOUT
        # Without kdumphpd's own folder nothing is kept.
        _, verdict = examine(probe.root, cache if cache.parent.exists() else None)
        yield _judged(verdict, probe)
    yield _updatable(probe)


def _judged(verdict: Verdict, probe: Probe) -> Finding:
    sentence = verdict.sentence()
    match verdict.state:
        case ImageState.CURRENT:
            return ok(NAME, "it was read, and describes the machine")
        case ImageState.UNREADABLE:
            fix = REMEDIES.get(verdict.reason, "") if verdict.reason else ""
            means = "kdumphpd goes by the kernel's report and by what the machine was at the last load"
            return warning(NAME, sentence, means, fix)
        case ImageState.NO_IMAGE:
            return failure(
                NAME, "the image was unloaded at this moment", "a panic leaves no dump", "kdumphpctl status"
            )
        case ImageState.STALE:
            return failure(NAME, sentence, "a dump would miss that", _reload(probe))
        case ImageState.UNSAFE:
            append = configured(probe).reload.append
            if append == "auto" or not missing(append):
                return failure(NAME, sentence, "a dump may lack memory", _reload(probe))
            fix = f'set reload.append = "auto" in kdumphpd.toml, where it is "{append}"; then {_reload(probe)}'
            return failure(NAME, sentence, "a dump may lack memory, and no reload changes that", fix)


def _reload(probe: Probe) -> str:
    """How to have the image reloaded, where the kernel lets anybody do that."""
    if probe.facts.limits.refusal:
        return REBOOT
    listener = probe.facts.listener
    return "kdumphpctl rearm --now" if listener is not None and listener.deferred_until else "kdumphpctl rearm"


def _updatable(probe: Probe) -> Finding:
    name = "updates"
    if probe.facts.describes_itself:
        return ok(name, probe.facts.describes_itself)
    if not any(probe.facts.updates.values()):
        return ok(name, f"this kernel updates no image by itself{reloads(probe.facts)}")
    if probe.facts.last_load is None:
        return skipped(name, "whether the kernel may update this image is known after kdumphpd's first check")
    if probe.facts.last_load.kernel_updates:
        return ok(name, "the kernel updates the image by itself")
    settings = configured(probe).reload
    if probe.facts.limits.refusal:
        fix = REBOOT
    elif not settings.make_updatable:
        fix = "set reload.make_updatable = true in kdumphpd.toml; then kdumphpctl rearm --now"
    elif settings.syscall is SyscallChoice.LOAD:
        fix = f'{NEWER_KEXEC}, or set reload.syscall = "auto" in kdumphpd.toml; then kdumphpctl rearm --now'
    else:
        fix = f"{NEWER_KEXEC}; then kdumphpctl rearm --now, which says what stands in its way"
    return warning(
        name,
        "this kernel updates images, but may not touch this one",
        "each hotplug costs a reload, with no image for a moment",
        fix,
    )
