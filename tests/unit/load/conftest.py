# SPDX-License-Identifier: GPL-2.0-or-later
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import configuration, settings

from kdumphpd import journal

configuration.set_hypothesis_home_dir(Path(__file__).parents[3] / "build/hypothesis")
# Time is never asserted, not by a deadline either; and a checkout need not be ours to write.
settings.register_profile("kdumphpd", deadline=None, database=None)
settings.load_profile("kdumphpd")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the journal meanwhile."""
    messages: list[str] = []

    def send(level: str, message: str, keywords: Mapping[str, Any]) -> None:
        messages.append(message)

    monkeypatch.setattr(journal, "_send", send)
    return messages
