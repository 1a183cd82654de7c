# SPDX-License-Identifier: GPL-2.0-or-later
"""The rate limit: reloads leave the machine without an image for a share of the time at most.

Pure. Times are seconds of the monotonic clock, which all processes of one boot share.
"""

CEILING = 3600.0  # seconds; a stale image is not left alone for longer, whatever its last reload has cost


def next_allowed(ended: float, unprotected: float, share: float) -> float:
    """When the next reload is within the limit, after one that ended at `ended`.

    g seconds without an image are a share s of g / s seconds, so the rest of these has to pass first.
    """
    return ended + min(CEILING, unprotected / share - unprotected)
