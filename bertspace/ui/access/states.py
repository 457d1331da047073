"""What gradio keeps of each page, in so many pages of one person, and without what only its deep links need.

gradio (6.31) draws the whole page anew for every session's hash that it has not heard before (83 ms in the
event loop and 0.7 MB here), and lets any caller's new hashes push out the pages of others.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from gradio.blocks import Blocks
from gradio.state_holder import SessionState, StateHolder

from bertspace.errors import DataError
from bertspace.ui.access import files
from bertspace.ui.access.admission import LONGEST_SESSION, OWNER, PAGES, PAGES_OF_OTHERS
from bertspace.ui.frame.errors import toast


class PageState(SessionState):
    """The values of one page's `gr.State`s, and the components that were changed for it."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks_config = copy(blocks.default_config)
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600  # seconds

    def _update_config(self, key: int) -> None:
        """Nothing: for deep links, as the next."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Nothing."""


class States(StateHolder):
    """The pages by their sessions' hashes; a person's own oldest make room for a new one of theirs."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.set_blocks(blocks)
        self.capacity = 2 * PAGES_OF_OTHERS  # never reached: we make room before
        self._whose: dict[str, str] = {}

    def __getitem__(self, session_id: str) -> SessionState:
        if len(session_id) > LONGEST_SESSION:
            raise toast(DataError("That is no session of a page.", hint="Reload the page."))
        if session_id not in self.session_data:
            self._make_room(files.whose())
            self._whose[session_id] = files.whose()
            self.session_data[session_id] = PageState(self.blocks)
        return super().__getitem__(session_id)

    def _make_room(self, key: str) -> None:
        own = [each for each in self.session_data if self._whose[each] == key]
        others = [each for each in self.session_data if self._whose[each] != OWNER]
        gone = own[: max(0, len(own) - PAGES + 1)]
        if key != OWNER and not gone:
            gone = others[: max(0, len(others) - PAGES_OF_OTHERS + 1)]
        for session_id in gone:
            for held in (self.session_data, self.time_last_used, self._whose):
                held.pop(session_id, None)
