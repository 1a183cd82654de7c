# SPDX-License-Identifier: GPL-2.0-or-later
from kdumphpd.backoff import LONGEST, Backoff


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff()
    pauses = [backoff.failed() for _ in range(12)]
    assert pauses[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert pauses[9:] == [LONGEST] * 3


def test_a_success_starts_over() -> None:
    backoff = Backoff()
    backoff.failed()
    backoff.failed()
    backoff.succeeded()
    assert backoff.failed() == 1
