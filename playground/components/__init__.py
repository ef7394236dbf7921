"""Our own widgets: a folder each, an ES module beside its CSS, mounted by gr.HTML.

A component is a piece of HTML and the module `NAME/NAME.js`, whose `mount(element, {props, trigger, watch})` brings it to life.
Modules and styles are served under a path that holds a hash of them all: a browser may keep them for ever, and never keeps old
ones. They import each other by relative paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent
SERVED = {".js", ".css"}
FOR_EVER = "public, max-age=31536000, immutable"


def files() -> list[Path]:
    """What the browser may have: modules and styles, in a fixed order."""
    return sorted(file for file in FOLDER.rglob("*") if file.suffix in SERVED)


def content_hash() -> str:
    """Twelve hexadecimal digits of everything served."""
    digest = hashlib.sha256()
    for file in files():
        digest.update(file.relative_to(FOLDER).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


BASE = f"/play/static/{content_hash()}"


class _Modules(StaticFiles):
    """Static files of the served kinds alone, kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if Path(path).suffix not in SERVED:
            return Response("There is no such module.", 404, media_type="text/plain")
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = FOR_EVER
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
