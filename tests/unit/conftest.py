# SPDX-License-Identifier: GPL-2.0-or-later
from collections.abc import Mapping
from typing import Any

import pytest

from kdumphpd import journal
from tests.unit.leftovers import leaves_nothing_behind

__all__ = ["leaves_nothing_behind"]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the journal meanwhile."""
    messages: list[str] = []

    def send(level: str, message: str, keywords: Mapping[str, Any]) -> None:
        messages.append(message)

    monkeypatch.setattr(journal, "_send", send)
    return messages
