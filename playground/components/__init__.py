"""Our own widgets: a folder each, an ES module beside its CSS, mounted by gr.HTML.

A component is a piece of HTML and the module `NAME/NAME.js`, whose `mount(element, {props, trigger, watch})` brings it to life.
Modules and styles are served under a path that holds a hash of them all: a browser may keep them for ever, and never keeps old
ones. They import each other by relative paths.

One file is not ours: plotly.js, which the Python package of that name brings along. It stands at `vendor/plotly.min.js` beside
the modules. At 4.7 MB no page asks for it before a figure is drawn, and it travels compressed, packed once.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent
SERVED = {".js", ".css"}
PLOTLY = "vendor/plotly.min.js"
FOR_EVER = "public, max-age=31536000, immutable"


def files() -> list[Path]:
    """What the browser may have: modules and styles, in a fixed order."""
    return sorted(file for file in FOLDER.rglob("*") if file.suffix in SERVED)


def plotly_file() -> Path | None:
    """Where the plotly package keeps plotly.js, found without importing it; None if it is not installed."""
    package = importlib.util.find_spec("plotly")
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / "package_data" / "plotly.min.js"
    return file if file.is_file() else None


def content_hash() -> str:
    """Twelve hexadecimal digits of everything served."""
    digest = hashlib.sha256()
    for file in files():
        digest.update(file.relative_to(FOLDER).as_posix().encode())
        digest.update(file.read_bytes())
    plotly = plotly_file()
    if plotly is not None:
        digest.update(PLOTLY.encode())
        digest.update(plotly.read_bytes())
    return digest.hexdigest()[:12]


BASE = f"/play/static/{content_hash()}"


_packing = threading.Lock()


@cache
def _gzipped(file: Path) -> bytes:
    return gzip.compress(file.read_bytes(), mtime=0)  # level 9: 0.15 s, to 30 % of its size


def _packed(file: Path) -> bytes:
    with _packing:  # sixty people who come at once wait for one packing
        return _gzipped(file)


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header lets us answer in gzip (RFC 9110, section 12.5.3): a quality of 0 forbids."""
    quality: dict[str, float] = {}
    for part in header.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        said = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
        try:
            quality[coding] = float(said[0]) if said else 1.0
        except ValueError:
            quality[coding] = 0.0
    return quality.get("gzip", quality.get("*", 0.0)) > 0


class _Modules(StaticFiles):
    """Static files of the served kinds alone, kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if Path(path).suffix not in SERVED:
            return Response("There is no such module.", 404, media_type="text/plain")
        if Path(path).as_posix() == PLOTLY:
            response = await self.plotly(scope)
        else:
            response = await super().get_response(path, scope)
        if response.status_code < 400:
            response.headers["Cache-Control"] = FOR_EVER
        return response

    async def plotly(self, scope: Scope) -> Response:
        """plotly.js, compressed for those who accept it."""
        file = plotly_file()
        if file is None or scope["method"] not in {"GET", "HEAD"}:
            return Response("There is no such module.", 404, media_type="text/plain")
        response: Response
        if accepts_gzip(Headers(scope=scope).get("Accept-Encoding", "")):
            packed = await run_in_threadpool(_packed, file)
            response = Response(packed, media_type="text/javascript", headers={"Content-Encoding": "gzip"})
        else:
            response = self.file_response(file, file.stat(), scope)
        response.headers["Vary"] = "Accept-Encoding"
        return response


def mount_modules() -> Mount:
    return Mount(BASE, _Modules(directory=FOLDER))


def head() -> str:
    """The styles, and a hint to fetch the modules early, for every page's <head>."""
    links = []
    for file in files():
        path = f"{BASE}/{file.relative_to(FOLDER).as_posix()}"
        links.append(f'<link rel="{"stylesheet" if file.suffix == ".css" else "modulepreload"}" href="{path}">')
    return "\n".join(links)


def component(name: str, value: Any, *, html: str = "", events: Sequence[str] = (), **kwargs: Any) -> gr.HTML:
    """A gr.HTML whose behaviour is the module `name/name.js`. `events`: what it may trigger, as Gradio listeners."""
    quoted = " ".join(f"'{event}'" for event in events)  # Gradio finds a component's events by the names quoted here
    mount = f"import('{BASE}/{name}/{name}.js').then(m => m.mount(element, {{props, trigger, watch}})) // {quoted}"
    return gr.HTML(value=value, html_template=html, js_on_load=mount, padding=False, apply_default_css=False, **kwargs)
