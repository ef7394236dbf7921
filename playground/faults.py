"""What becomes of a call that goes wrong: a status, and one sentence in `{"error": "..."}`.

The outermost layer of `guard.Guard`. Three kinds are told apart:

- `BadCall`, and `Refused` of an upload: the caller's; their own sentence.
- Gradio's interface under /gradio_api/ answers 500, or breaks off a stream that it began with 200, when a call names a
  function, component or event that does not exist, or has inputs that do not fit (measured with 6.31: test_guard.py). These are
  the caller's too: 400 or 404. From here they cannot be told from a fault in an event of ours, so all of them are logged.
- Anything else is a fault of ours: 500, and the log has the traceback.

Answers pass through piece by piece; only one that is to be replaced is kept back.
"""

from __future__ import annotations

import json
import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground import text
from playground.uploads import Refused

GRADIO = "/gradio_api/"
MISUNDERSTOOD = (
    "Gradio could not make sense of this call: check that the function, component or event exists and that its inputs "
    "have the right types and number. /gradio_api/info lists what there is."
)
NO_PAGE = f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{text.page("shell")["title"]}</title><style>body{{font:18px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:32em;
padding:0 16px;color-scheme:light dark}}</style><h1>{text.page("shell")["no_page"]}</h1>
<p><a href="/">{text.page("shell")["to_start"]}</a></p></html>"""
BROKE = "Something broke here; it has been written to the log."

log = logging.getLogger(__name__)


class BadCall(Exception):
    """A call that is refused: one sentence for who made it, and the HTTP status."""

    def __init__(self, sentence: str, status: int = 400, *, retry_after: int | None = None) -> None:
        """`retry_after`: whole seconds after which the same call may succeed."""
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
        self.retry_after = retry_after


class Faults:
    """Turns what goes wrong inside into a status and a sentence, and sees that HTML and JSON carry their security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            try:
                await self.app(scope, receive, send)
            except BadCall as bad:
                await send({"type": "websocket.close", "code": 1008, "reason": bad.sentence[:120]})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reply = Reply(scope["path"], send, wants_page=wants_page(scope))
        try:
            await self.app(scope, receive, reply.send)
            verdict = reply.verdict()
        except ClientDisconnect:
            return
        except Exception as error:
            if reply.started:
                raise
            verdict = reply.verdict() or self._verdict(error, scope)
        if verdict is not None:
            headers = {} if verdict.retry_after is None else {"Retry-After": str(verdict.retry_after)}
            response: Response = JSONResponse({"error": verdict.sentence}, verdict.status, headers)
            if verdict.status == 404 and reply.wants_page:
                response = HTMLResponse(NO_PAGE, 404)
            secure(response.headers)
            await response(scope, receive, send)

    def _verdict(self, error: Exception, scope: Scope) -> BadCall:
        if isinstance(error, BadCall):
            return error
        if isinstance(error, Refused):
            return BadCall(str(error))
        log.error("%s %s raised", scope["method"], scope["path"], exc_info=error)
        return BadCall(MISUNDERSTOOD) if of_gradio(scope["path"]) else BadCall(BROKE, 500)


class Reply:
    """An answer on its way out: passed on at once, or kept back where it is one that `verdict` is to replace."""

    def __init__(self, path: str, send: Send, *, wants_page: bool = False) -> None:
        self.path = path
        self.wants_page = wants_page
        self.started = False
        self._send = send
        self._kept: Message | None = None  # the start of an answer that is kept back
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            secure(headers)
            broken = message["status"] == 500 and of_gradio(self.path)
            wordless = message["status"] >= 400 and headers.get("content-length") == "0"
            no_page = message["status"] == 404 and self.wants_page
            if broken or wordless or no_page or self._may_be_lost(headers):
                self._kept = message
                return
        elif self._kept is not None:
            self._body = (self._body + message.get("body", b""))[:10_000]
            if self._kept["status"] >= 400 or tells_loss(self._body):
                return
            await self._send(self._kept)  # a stream with something to say
            self._kept = None
        self.started = True
        await self._send(message)

    def verdict(self) -> BadCall | None:
        """What is to be answered instead of what was kept back."""
        if self._kept is None:
            return None
        status = self._kept["status"]
        if status == 500 and of_gradio(self.path):
            log.error("%s: Gradio answered 500: %s", self.path, self._body[:500])
            return BadCall(sentence_in(self._body) or MISUNDERSTOOD)
        if status >= 400:
            return BadCall(f"There is nothing at {self.path[:200]} (status {status}).", status)
        return BadCall("There is no such event or session here, or it has ended: start it again.", 404)

    def _may_be_lost(self, headers: Headers) -> bool:
        """Whether this is one of Gradio's event streams, which answer 200 and only then look whether there is such an event."""
        streams = (GRADIO + "queue/data", GRADIO + "call/")
        return self.path.startswith(streams) and headers.get("content-type", "").startswith("text/event-stream")


def tells_loss(body: bytes) -> bool:
    """Whether an event stream's first words are Gradio's for an event or session that it does not know."""
    queue = body.startswith(b'data: {"msg":"unexpected_error"') and b'"session_not_found":true' in body
    return queue or body.startswith(b'event: error\ndata: "404')


def sentence_in(body: bytes) -> str | None:
    """What a `gr.Error` said, in Gradio's `{"error": ...}`."""
    try:
        said = json.loads(body).get("error")
    except (ValueError, AttributeError):
        return None
    return said if isinstance(said, str) and said else None


def wants_page(scope: Scope) -> bool:
    """Whether a person's browser asks for a page, rather than a program for data."""
    return "text/html" in Headers(scope=scope).get("accept", "") and not scope["path"].startswith(("/play/", GRADIO))


def of_gradio(path: str) -> bool:
    """Whether a path is Gradio's interface, where what fails is the call; its pages and files are not."""
    return path.startswith(GRADIO) or path.rstrip("/") == "/config"


def secure(headers: MutableHeaders) -> None:
    """Security headers on HTML and JSON. No X-Frame-Options: Hugging Face Spaces shows the page in a frame."""
    if headers.get("content-type", "").startswith(("text/html", "application/json")):
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "same-origin"
