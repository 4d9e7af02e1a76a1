"""Why a request was not taken in, as the client is told: status, sentence, hint, and when to come back."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response


class Refusal(Exception):
    """A request that gets another answer than 200. `retry_after_s` makes clients keep what they have and try again."""

    def __init__(self, status: int, message: str, *, hint: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.hint, self.retry_after_s = status, message, hint, retry_after_s

    def response(self) -> Response:
        """The answer: JSON whatever was sent, since exporters only log it for people."""
        body: dict[str, int | str] = {"status": self.status, "message": self.message}
        if self.hint:
            body["hint"] = self.hint
        headers: dict[str, str] = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="tracehound"'
        return JSONResponse(body, self.status, headers)
