"""The pages: one file each, with its settings, its layout and its events. A page is what `PAGE` in its file says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from playground.inference import Inference


@dataclass(frozen=True)
class Page:
    """`build(demo, inference)` fills the page when the shell has opened its Gradio route."""

    name: str
    path: str  # "/vae"; "/" is the index
    question: str
    build: Callable[[gr.Blocks, Inference], None]
    card: Callable[[], dict[str, object] | None] = lambda: None  # what the index shows of it
