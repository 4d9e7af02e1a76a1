"""The connection between a page and its server, in the hands of a test: messages can be late, and tell what they are."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, WebSocketRoute
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg


class Wire:
    """Relays everything; while held, the server's answers wait and what the page says again is dropped. Made before the page is opened.

    `sent` and `answers` are the messages from and to the page so far, answers counted when they leave the server.
    """

    def __init__(self, page: Page) -> None:
        self.sent: list[BackMsg] = []
        self.answers: list[ForwardMsg] = []
        self._page = page
        self._late: list[str | bytes] | None = None
        self._to_page: WebSocketRoute | None = None
        page.route_web_socket("**/_stcore/stream**", self._opened)

    def _opened(self, to_page: WebSocketRoute) -> None:
        to_server = to_page.connect_to_server()
        self._to_page = to_page

        def up(message: str | bytes) -> None:
            if isinstance(message, bytes):
                said = BackMsg.FromString(message)
                if self._late is not None and self._is_known(said):
                    return
                self.sent.append(said)
            to_server.send(message)

        def down(message: str | bytes) -> None:
            if isinstance(message, bytes):
                self.answers.append(ForwardMsg.FromString(message))
            if self._late is None:
                to_page.send(message)
            else:
                self._late.append(message)

        to_page.on_message(up)
        to_server.on_message(down)

    def _is_known(self, said: BackMsg) -> bool:
        """A click that was sent before. It would come to the rescue of one that got lost."""
        clicked = said.rerun_script.widget_states
        return not said.rerun_script.is_auto_rerun and any(
            clicked == one.rerun_script.widget_states for one in self.sent
        )

    def hold(self) -> None:
        """From here on answers wait."""
        self._late = []

    def release(self) -> None:
        """Every answer that waited arrives, in order."""
        assert self._to_page is not None
        waiting, self._late = self._late or [], None
        for message in waiting:
            self._to_page.send(message)

    def wait(self, until: Callable[[], bool], *, turns: int = 1200) -> None:
        """Let messages pass until the condition holds, two minutes at most."""
        for _ in range(turns):
            if until():
                return
            self._page.wait_for_timeout(100)
        raise AssertionError("the message that the test waits for never came")

    def timers(self) -> int:
        """Messages that no person caused."""
        return sum(message.rerun_script.is_auto_rerun for message in self.sent)

    def whole_pages(self) -> int:
        """How often the server drew the whole page to its end."""
        return sum(message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY for message in self.answers if message.WhichOneof("type") == "script_finished")  # fmt: skip
