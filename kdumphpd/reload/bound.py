# SPDX-License-Identifier: GPL-2.0-or-later
"""The bound on the time without an image: at most a share of all time, however often a reload is asked for.

Pure. Times are seconds of the monotonic clock, which all processes of one boot share.
"""


def next_reload(free_at: float, ended: float, unprotected: float, share: float) -> float:
    """When the next reload is within the bound, after one that ended at `ended`.

    A gap of g seconds is a share s of g / s seconds, so the rest of these has to pass first. `free_at` is the
    answer of the reload before: one that could not wait, for no image was there, is paid for on top.
    """
    return max(free_at, ended - unprotected) + unprotected / share
