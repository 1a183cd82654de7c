# SPDX-License-Identifier: GPL-2.0-or-later
"""Is an image loaded, does it describe the machine, may the kernel update it, and can it be read?"""

from collections.abc import Iterable

from kdumphpd.cli import exits
from kdumphpd.cli.doctor.finding import Finding, failure, ok, skipped, warning
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.health import judge
from kdumphpd.image.errors import Cause
from kdumphpd.image.examine import examine
from kdumphpd.image.verdict import ImageState, Verdict
from kdumphpd.runtime import LAYOUT

NAME = "image"

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
    if not probe.facts.loaded:
        level = warning if health.exit in (exits.NOT_LOADED, exits.UNKNOWN) else failure
        yield level(NAME, health.why or "no image is loaded", "a panic leaves no dump", health.hint)
        return
    if probe.facts.fadump and probe.facts.fadump.enabled:
        yield ok(NAME, "fadump is registered")
        return
    if not probe.is_root:
        yield skipped(
            NAME, "an image is loaded; whether it describes the machine is for root to see", "run it as root"
        )
    else:
        cache = probe.root / LAYOUT
        # Without kdumphpd's own folder nothing is kept.
        _, verdict = examine(probe.root, cache if cache.parent.exists() else None)
        yield from _judged(verdict)
    yield _updatable(probe)


def _judged(verdict: Verdict) -> Iterable[Finding]:
    sentence = verdict.sentence()
    if verdict.state is ImageState.CURRENT:
        yield ok(NAME, "it was read, and describes the machine")
    elif verdict.state is ImageState.UNREADABLE:
        fix = REMEDIES.get(verdict.reason, "") if verdict.reason else ""
        means = "kdumphpd goes by the kernel's report and by what the machine was at the last load"
        yield warning(NAME, sentence, means, fix)
    elif verdict.state is ImageState.NO_IMAGE:
        yield failure(NAME, "the image was unloaded at this moment", "a panic leaves no dump", "kdumphpctl status")
    else:
        means = "a dump would miss that" if verdict.state is ImageState.STALE else "a dump may lack memory"
        yield failure(NAME, sentence, means, "kdumphpctl rearm")


def _updatable(probe: Probe) -> Finding:
    name = "updates"
    if not any(probe.facts.updates.values()):
        return ok(name, "this kernel updates no image by itself; kdumphpd reloads it")
    if probe.facts.last_load is None:
        return skipped(name, "whether the kernel may update this image is known after kdumphpd's first check")
    if probe.facts.last_load.kernel_updates:
        return ok(name, "the kernel updates the image by itself")
    return warning(
        name,
        "this kernel updates images, but may not touch this one",
        "each hotplug costs a reload, with no image for a moment",
        "keep reload.make_updatable = true in kdumphpd.toml, and kexec-tools 2.0.29 or newer; then kdumphpctl rearm",
    )
