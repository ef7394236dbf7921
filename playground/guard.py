"""What stands before every route, ours and Gradio's: whence a call comes, how often, and how large it is.

Pure ASGI layers in this order: `Faults` (of faults.py), `Origins`, `Rates`, `Sizes`. Each lets a call pass or raises `BadCall`,
which `Faults` turns into a status and one sentence. Nothing is buffered.

- A web page elsewhere may not call us with a visitor's browser (OWASP, "Cross-Site Request Forgery Prevention": compare Origin
  with Host). What sends no Origin, like curl, is no browser and may.
- Rates are token buckets (Turner 1986): a bucket fills with `rate` a second up to `burst`, and a call takes one. Each browser
  has its own, because sixty people may share one address; each address has a large one, because tokens cost nothing to make up.
- A body is measured by what it declares and again by what comes: a chunked one declares nothing.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.faults import GRADIO, BadCall, Faults
from playground.uploads import MAX_BYTES

OURS = "/play/"
STATIC = "/play/static/"
# Bytes of a body, by the beginning of the path; the longest that fits counts.
LIMITS: Mapping[str, int] = {
    "/": 1_000_000,
    "/play/prepare": MAX_BYTES,
    "/play/pixels": 100_000,
    "/play/pixels/prepare": MAX_BYTES,
    "/play/cloud": 5_000_000,
    "/play/cloud/table": MAX_BYTES,
    "/gradio_api/upload": MAX_BYTES,
}
TOKEN_HEADER = "X-Playground-Token"
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")
BROWSER_RATE, BROWSER_BURST = 150.0, 300.0  # calls a second under /play/: a drag at every frame of a fast screen
ADDRESS_RATE, ADDRESS_BURST = 3_000.0, 6_000.0  # calls a second: sixty people at 50
MAX_BUCKETS = 10_000  # about 2 MB; the one longest unused is forgotten first, and would be full by then
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
__all__ = ["BadCall", "Guard"]


class Guard:
    """All layers in their order: `launch(app_kwargs={"middleware": [Middleware(Guard)]})`.

    `proxied`: whether a proxy of ours sets X-Forwarded-Host and X-Forwarded-For; otherwise they are what any caller says of
    himself, and not believed. By default so on Hugging Face Spaces only. `clock` gives seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Mapping[str, int] = LIMITS,
        proxied: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        proxied = "SPACE_ID" in os.environ if proxied is None else proxied
        self.app = Faults(Origins(Rates(Sizes(app, limits), proxied, clock), proxied))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Sizes:
    """Refuses bodies over the limit of their path, by what they declare and by what then comes."""

    def __init__(self, app: ASGIApp, limits: Mapping[str, int]) -> None:
        self.app = app
        self.limits = sorted(limits.items(), key=lambda item: -len(item[0]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        fits = (limit for start, limit in self.limits if path == start or path.startswith(start.rstrip("/") + "/"))
        limit = next(fits, 0)
        lengths = set(Headers(scope=scope).getlist("content-length"))
        if any(not re.fullmatch("[0-9]{1,18}", length) for length in lengths) or len(lengths) > 1:
            raise BadCall(f"Content-Length is {', '.join(sorted(lengths))[:40]!r}: it must be one whole number of bytes.")
        if (declared := max(map(int, lengths), default=0)) > limit:
            raise BadCall(f"The body has {declared:,} bytes, and the limit for {path} is {limit:,}: send less.", 413)

        count, over, started = 0, None, False

        async def counted() -> Message:
            nonlocal count, over
            message = await receive()
            count += len(message.get("body", b""))
            if count > limit:
                over = BadCall(f"The body has {count:,} bytes or more, and the limit for {path} is {limit:,}: send less.", 413)
                raise over
            return message

        async def unless_over(message: Message) -> None:
            nonlocal started
            if over is None or started:
                started = True
                await send(message)

        try:
            await self.app(scope, counted, unless_over)
        except Exception:
            if over is None or started:
                raise
        if over is not None and not started:  # whatever the app made of a body that broke off
            raise over


class Rates:
    """Refuses calls that come faster than a browser's or an address's bucket fills. Our static files are free."""

    def __init__(self, app: ASGIApp, proxied: bool, clock: Callable[[], float]) -> None:
        self.app = app
        self.proxied = proxied
        self.browsers = Buckets(BROWSER_RATE, BROWSER_BURST, clock)
        self.addresses = Buckets(ADDRESS_RATE, ADDRESS_BURST, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        free = path.startswith(STATIC) and scope.get("method") in ("GET", "HEAD")
        if path.startswith((OURS, GRADIO)) and not free:
            headers = Headers(scope=scope)
            address = client_network(scope, headers, self.proxied)
            self._take(self.addresses, address, "this address")
            if path.startswith(OURS):
                token = headers.get(TOKEN_HEADER, "")
                named = TOKEN.fullmatch(token) is not None
                self._take(self.browsers, token if named else address, "this browser" if named else "here without a token")
        await self.app(scope, receive, send)

    def _take(self, buckets: Buckets, key: str, whence: str) -> None:
        if wait := buckets.take(key):
            seconds = max(1, math.ceil(wait))
            sentence = f"More than {buckets.rate:,.0f} calls a second came from {whence}: try again in {seconds} s."
            raise BadCall(sentence, 429, retry_after=seconds)


class Buckets:
    """Token buckets by key, at most `MAX_BUCKETS`: `rate` calls a second, `burst` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self.table: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> (what was in it, when), oldest use first

    def take(self, key: str) -> float:
        """Takes one and returns 0; or takes nothing and returns the seconds until there is one."""
        now = self.clock()
        level, then = self.table.pop(key, (self.burst, now))
        level = min(self.burst, level + (now - then) * self.rate)
        enough = level >= 1
        self.table[key] = (level - enough, now)
        if len(self.table) > MAX_BUCKETS:
            self.table.popitem(last=False)
        return 0.0 if enough else (1 - level) / self.rate


def client_network(scope: Scope, headers: Headers, proxied: bool) -> str:
    """Whence a call comes: an IPv4 address, or the /64 network of one IPv6 customer. No address: as it is."""
    forwarded = headers.get("x-forwarded-for", "").split(",")[-1].strip() if proxied else ""  # the last: our proxy's word
    client = scope.get("client")
    address = forwarded or (client[0] if client else "unknown")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


class Origins:
    """Refuses unsafe methods and web sockets that a page of another origin sends."""

    def __init__(self, app: ASGIApp, proxied: bool) -> None:
        self.app = app
        self.proxied = proxied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] not in SAFE_METHODS):
            headers = Headers(scope=scope)
            hosts = {headers.get("host", "").lower()}
            if self.proxied:
                hosts.add(headers.get("x-forwarded-host", "").split(",")[0].strip().lower())
            for origin in headers.getlist("origin"):
                scheme, _, host = origin.lower().partition("://")
                default_port = ":443" if scheme == "https" else ":80"
                if not host or host.removesuffix(default_port) not in {known.removesuffix(default_port) for known in hosts}:
                    raise BadCall(f"This call comes from a page of {origin[:80]!r}; only pages of this site may call it.", 403)
        await self.app(scope, receive, send)
