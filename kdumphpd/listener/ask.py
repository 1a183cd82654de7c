# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking the helper: one request is under way, one helper may be got ready, and one that has answered may prepare."""

import contextlib
import selectors
import time
from functools import partial
from pathlib import Path
from typing import Protocol

from kdumphpd.client import Conversation, HelperUnavailable
from kdumphpd.protocol import REQUEST_TIMEOUT, Progress, Request, Result


class Asker(Protocol):
    """Who is told what comes of a request."""

    def answered(self, result: Result) -> None: ...
    def unanswered(self, why: str) -> None: ...

    def learned(self, what: str) -> None:
        """A helper that had answered has found out what may change its answer."""

    def prepared(self) -> None:
        """A helper that had answered has ended."""


class Helper:
    """The conversations with it, their descriptors in `selector` with the method to call as data."""

    def __init__(self, root: Path, selector: selectors.BaseSelector, asker: Asker) -> None:
        self._root = root
        self._selector = selector
        self._asker = asker
        self._conversation: Conversation | None = None
        self._ready: Conversation | None = None
        self._ready_for: float | None = None  # when the burst began
        self._preparing: set[Conversation] = set()

    @property
    def at_work(self) -> bool:
        """A request is under way."""
        return self._conversation is not None

    @property
    def preparing(self) -> bool:
        """A helper that has answered may be asking the loader what it would load, which the loader's files show."""
        return bool(self._preparing)

    def get_ready(self, opened: float) -> None:
        """Have a helper started while the burst of this moment settles: that takes longer than what it then does.

        Once a burst: of one that goes on for long a second more or less is nothing.
        """
        if self._ready_for == opened:
            return
        self._drop_ready()
        self._ready_for = opened
        with contextlib.suppress(HelperUnavailable):  # it is said when it is asked
            self._ready = Conversation(self._root)

    def request(self, request: Request) -> None:
        """Begin. Raises HelperUnavailable."""
        self._conversation = conversation = self._asked(request)
        self._selector.register(conversation, selectors.EVENT_READ, partial(self._receive, conversation))

    def give_up(self) -> None:
        """End the request that is under way."""
        if self._conversation is not None:
            self._selector.unregister(self._conversation)
            self._conversation.close()
            self._conversation = None

    def close(self) -> None:
        self.give_up()
        self._drop_ready()
        for conversation in list(self._preparing):
            self._end_preparing(conversation)

    # --- inside --------------------------------------------------------------------------------------------------

    def _asked(self, request: Request) -> Conversation:
        conversation, self._ready = self._ready, None
        if conversation is not None:
            # It waits no longer than that; and should it have died, another one is as good.
            if time.monotonic() < conversation.connected + REQUEST_TIMEOUT / 2:
                with contextlib.suppress(HelperUnavailable):
                    conversation.request(request)
                    return conversation
            conversation.close()
        conversation = Conversation(self._root)
        conversation.request(request)
        return conversation

    def _receive(self, conversation: Conversation) -> None:
        if conversation is not self._conversation:
            return  # it was given up in this turn
        try:
            messages = conversation.receive()
        except HelperUnavailable as error:
            self.give_up()
            self._asker.unanswered(str(error))
            return
        for message in messages:
            if self._conversation is not conversation:
                self._heard_afterwards(message)
            elif isinstance(message, Result):
                # Until it hangs up it may go on.
                self._conversation = None
                self._preparing.add(conversation)
                self._selector.modify(conversation, selectors.EVENT_READ, partial(self._afterwards, conversation))
                self._asker.answered(message)

    def _afterwards(self, conversation: Conversation) -> None:
        if conversation not in self._preparing:
            return
        try:
            for message in conversation.receive():
                self._heard_afterwards(message)
        except HelperUnavailable:  # that is its end
            self._end_preparing(conversation)
            self._asker.prepared()

    def _heard_afterwards(self, message: Progress | Result) -> None:
        if isinstance(message, Progress):
            self._asker.learned(message.step)

    def _end_preparing(self, conversation: Conversation) -> None:
        self._preparing.discard(conversation)
        self._selector.unregister(conversation)
        conversation.close()

    def _drop_ready(self) -> None:
        if self._ready is not None:
            self._ready.close()
            self._ready = None
