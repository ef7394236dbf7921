"""The house: pages, navigation, theme, routes and what stands before them. `build()` makes the app, `launch()` serves it."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: no page asks another host for anything

import gradio as gr
from starlette.middleware import Middleware

from playground import cloud_play, latent_beta, latent_codes, latent_live, latent_play, likelihood_play, pixel_play, play, text
from playground.components import component, head, mount_modules
from playground.guard import Guard
from playground.inference import Inference, warm_up
from playground.jobs import Jobs
from playground.pages import Page, clouds, home, latents, likelihoods, pixels, vae

PAGES: list[Page] = [
    clouds.PAGE,
    vae.PAGE,
    latents.PAGE,
    pixels.PAGE,
    likelihoods.PAGE,
]  # one line a page, in the order of the navigation
RECORDED = [clouds, vae, latents, pixels, likelihoods]  # modules whose record() makes the runs that pages open on
SYSTEM_FONTS = ["system-ui", "sans-serif"]
MONOSPACE = ["ui-monospace", "monospace"]


def build(inference: Inference) -> gr.Blocks:
    """All pages, the index first. Uploaded files that Gradio keeps are deleted after an hour."""
    words = text.page("shell")
    index = home.page(PAGES)
    everyone = [index, *PAGES]
    header = {"title": words["title"], "text": words, "pages": [{"name": page.name, "path": page.path} for page in everyone]}

    def fill(page: Page) -> None:
        component("shell", header | {"here": page.path})
        with gr.Column(elem_classes="gmp-page"):
            page.build(demo, inference)

    with gr.Blocks(title=words["title"], analytics_enabled=False, delete_cache=(3600, 3600), fill_width=True) as demo:
        gr.Navbar(visible=False)
        fill(index)
    for page in PAGES:
        with demo.route(page.name, page.path.strip("/")):
            gr.Navbar(visible=False)
            fill(page)
    return demo


def theme() -> gr.themes.Base:
    """Gradio's plain theme in our type; colours come from the tokens of components/theme."""
    return gr.themes.Base(font=SYSTEM_FONTS, font_mono=MONOSPACE, primary_hue="neutral", neutral_hue="neutral")


def _settle(inference: Inference) -> None:
    """Loads what people will ask for. It stays there, and the garbage collector need not look through it again: its pauses, a
    tenth of a second and more, would be felt under a moving hand (`python -m benchmarks latents`).
    """
    loaded = warm_up(inference)
    play.load_references()
    loaded.result()
    gc.collect()
    gc.freeze()


def launch(**overrides: Any) -> tuple[Any, str, str]:
    """Serves the app on HOST and PORT (127.0.0.1:7860) and, in the background, loads the models. Blocks unless told not to."""
    inference, jobs = Inference(), Jobs(latent_live.FUNCTIONS)
    demo = build(inference)
    on_space = "SPACE_ID" in os.environ
    host = os.environ.get("HOST") or ("0.0.0.0" if on_space else "127.0.0.1")
    settings: dict[str, Any] = {
        "server_name": host,
        "server_port": int(os.environ.get("PORT") or 7860),
        "theme": theme(),
        "head": head(),
        "footer_links": [],
        "show_error": False,
        "strict_cors": True,
        "ssr_mode": False,
        "enable_monitoring": False,
        "run_history": False,
        "max_file_size": "20mb",
        "quiet": True,
        "app_kwargs": {
            "routes": [
                *play.routes(inference),
                *cloud_play.routes(inference),
                *latent_play.routes(inference),
                *latent_beta.routes(inference),
                *latent_codes.routes(inference),
                *latent_live.routes(jobs),
                *pixel_play.routes(inference),
                *likelihood_play.routes(inference),
                mount_modules(),
            ],
            "middleware": [Middleware(Guard)],
        },
    }
    demo.queue(max_size=100)
    blocking = not overrides.get("prevent_thread_lock", False)
    app = demo.launch(**(settings | overrides | {"prevent_thread_lock": True}))
    print(f"The playground is open at http://{host}:{settings['server_port']}", flush=True)
    jobs.warm()
    threading.Thread(target=_settle, args=(inference,), name="settle", daemon=True).start()
    if blocking:
        demo.block_thread()
    return app
