"""The index: a card for each page, with a live picture from it and the question it answers."""

from __future__ import annotations

import gradio as gr

from playground import text
from playground.components import component
from playground.inference import Inference
from playground.pages import Page


def page(others: list[Page]) -> Page:
    words = text.page("home")

    def build(demo: gr.Blocks, inference: Inference) -> None:
        gr.HTML(f"<h1>{words['question']}</h1><p class='gmp-lead'>{words['lead']}</p>", padding=False)
        cards = [
            card | {"name": other.name, "path": other.path, "question": other.question}
            for other in others
            if (card := other.card())
        ]
        component("home", {"cards": cards, "text": words})

    return Page("Home", "/", words["question"], build)
