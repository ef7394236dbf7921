"""The routes under /play/pixels/: images being written, finished ones being read.

What is written goes out row by row as it comes, in frames: four bytes of length, one letter, the content. "J" is JSON (first
what is being written, at the end what is to be said of it), "R" a row: its number and the number of images as two uint16, then
for each image the values of the row, one byte each, in the order of writing, then log p of each at temperature 1 as float32,
then, if asked for, the logits of the first image as float16, a sub-pixel a row. A picture that is sent is forgotten with the
answer.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Generator
from typing import Any

import numpy as np
import torch
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from torch.nn.functional import log_softmax

from models import completion, zoo
from models.contract import Noise, Spec
from models.data import images, prepare, sprites
from models.measures.likelihood import bits_per_dim, share_at_least
from models.pixel_writer import COLDEST, Orders, Row, Writer, is_prefix, naive_steps, orders
from models.pixelcnn import PixelCNN, in_scan_order
from models.receptive_field import all_seen
from playground import pixel_lesson, uploads, wire
from playground.faults import BadCall
from playground.inference import Inference
from playground.play import PATIENCE, _card, answered, decoders, reference_pictures, sentences
from playground.writing import End, Job, Rooms

LOOK = 0.5  # seconds between two looks at whether a request that waits is still there
RACE_SECONDS = 12.0  # of computing, for the slow one: what is left is estimated
INK = sprites.rgb(torch.tensor([0.55], dtype=torch.float64))[0]  # the colour of a drawn sprite


def routes(inference: Inference) -> list[Route]:
    """All of them, on one inference thread."""
    rooms = Rooms(inference)

    async def write(request: Request) -> Response:
        asked = wire.query(request, wire.WriteQuery)
        card = pixelcnn(asked.model)
        given, mask = await _given(request, card.spec, asked.changes)
        label, noise = _label(card.spec, asked.label), Noise(asked.seed, first=asked.first)

        def wanted(model: PixelCNN) -> Orders:
            labels = None if label is None else torch.full((asked.n,), label)
            if labels is None and card.spec.classes and mask.any() and not asked.changes:
                labels = completion.labels_given(model, given, mask, asked.n, noise=noise)
            return orders(
                model,
                asked.n,
                noise=noise,
                labels=labels,
                temperature=asked.temperature,
                given=given,
                mask=mask,
            )

        def last(model: PixelCNN, written: Orders, finished: torch.Tensor) -> dict[str, Any]:
            if asked.changes or not mask.any():
                return {}
            return _weighed(model, written, finished, asked)

        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Any] = asyncio.Queue()

        def tell(news: Any) -> None:
            loop.call_soon_threadsafe(told.put_nowait, (news, time.perf_counter()))

        job = Job(card.name, asked.n, wanted, tell, last)
        began = time.perf_counter()
        rooms.put(job)
        try:  # what is wrong with the request is an error; what goes wrong later breaks the stream off
            first = await _first(request, told)
        except BaseException:
            job.cancelled = True
            raise
        if isinstance(first, ValueError):
            raise BadCall(str(first))
        if isinstance(first, Exception):
            raise first

        async def frames() -> AsyncIterator[bytes]:
            try:
                yield _json(_head(first))
                while True:
                    news, at = await told.get()
                    if isinstance(news, Exception):
                        raise news
                    if isinstance(news, End):
                        yield _json({"seconds": at - began} | news.result)
                        return
                    yield _row(news, logits=asked.logits)
            finally:
                job.cancelled = True

        return StreamingResponse(frames(), media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    async def read(request: Request) -> Response:
        asked = wire.query(request, wire.ReadQuery)
        card = pixelcnn(asked.model)
        x = await _pixels(request, card.spec)
        label = _label(card.spec, asked.label)

        def run() -> dict[str, Any]:
            model: Any = inference.model(card.name)
            return reading(card, model, x, label)

        return JSONResponse(await answered(inference.submit(run)))

    async def logits(request: Request) -> Response:
        asked = wire.query(request, wire.ReadQuery)
        card = pixelcnn(asked.model)
        x = await _pixels(request, card.spec)
        label = _label(card.spec, asked.label)

        def run() -> np.ndarray:
            model: Any = inference.model(card.name)
            with torch.inference_mode():
                found = log_softmax(model.logits(x, None if label is None else torch.tensor([label])), dim=1)
            return _halves(found[0].permute(2, 3, 1, 0))  # (H, W, C, levels)

        return wire.octets(await answered(inference.submit(run)))

    async def seen(request: Request) -> Response:
        card = pixelcnn(wire.query(request, wire.ModelQuery).model)

        def run() -> np.ndarray:
            model: Any = inference.model(card.name)
            return np.packbits(all_seen(model).flatten(1).numpy(), axis=1)

        return wire.octets(await answered(inference.submit(run, key=("seen", card.name))))

    async def pictures(request: Request) -> Response:
        card = pixelcnn(wire.query(request, wire.ModelQuery).model)
        found = await asyncio.to_thread(references, card)
        if not found["pictures"]:
            found = await answered(
                inference.submit(lambda: own_samples(card, inference.model(card.name)), key=("own", card.name))
            )
        return JSONResponse(found)

    async def prepared(request: Request) -> Response:
        asked = wire.query(request, wire.PixelPrepareQuery)
        card = pixelcnn(asked.model)
        file = await request.body()
        try:
            async with decoders():
                found = await asyncio.to_thread(_prepare, card, file, asked.drawn)
        except (uploads.Refused, prepare.NothingThere) as refused:
            raise BadCall(str(refused), 422) from refused
        return JSONResponse({"pixels": wire.text_of(found.numpy())})

    async def race(request: Request) -> Response:
        card = pixelcnn(wire.query(request, wire.ModelQuery).model)
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Any] = asyncio.Queue()

        def tell(news: Any) -> None:
            loop.call_soon_threadsafe(told.put_nowait, news)

        future = inference.stream(racing(inference, card.name, tell))
        future.add_done_callback(lambda _: tell(None))

        async def lines() -> AsyncIterator[bytes]:
            try:
                while (news := await told.get()) is not None:
                    yield (json.dumps(news) + "\n").encode()
                if not future.cancelled() and (error := future.exception()):
                    raise error
            finally:
                future.cancel()

        return StreamingResponse(lines(), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})

    async def code(request: Request) -> Response:
        settings, _ = pixel_lesson.PixelSettings.from_query(dict(request.query_params))
        return JSONResponse({"code": pixel_lesson.code(settings)})

    return [
        Route("/play/pixels/code", sentences(code)),
        Route("/play/pixels/write", sentences(write), methods=["GET", "POST"]),
        Route("/play/pixels/read", sentences(read), methods=["POST"]),
        Route("/play/pixels/logits", sentences(logits), methods=["POST"]),
        Route("/play/pixels/seen", sentences(seen)),
        Route("/play/pixels/pictures", sentences(pictures)),
        Route("/play/pixels/prepare", sentences(prepared), methods=["POST"]),
        Route("/play/pixels/race", sentences(race)),
    ]


async def _first(request: Request, told: asyncio.Queue[Any]) -> Any:
    """The first news of a job. Raises TimeoutError when it does not come, ClientDisconnect when nobody waits for it."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return (await asyncio.wait_for(told.get(), LOOK))[0]
        except TimeoutError:
            if await request.is_disconnected():
                raise ClientDisconnect from None
            if time.monotonic() > until:
                raise


def pixelcnn(name: str) -> zoo.Card:
    """The card of a PixelCNN."""
    try:
        card = _card(name)
    except zoo.UnknownCheckpoint as error:
        raise BadCall(str(error), 404) from error
    if card.spec.kind != "pixelcnn":
        raise BadCall(f"{name} is no PixelCNN: it does not write pixel by pixel.")
    return card


def _label(spec: Spec, label: int) -> int | None:
    """None: any class."""
    if label >= spec.classes and label >= 0:
        raise BadCall(f"label = {label} is not a class of this model: it has {spec.classes}.")
    return None if label < 0 else label


async def _pixels(request: Request, spec: Spec) -> torch.Tensor:
    """uint8 `(1, C, H, W)` from the body."""
    return _checked(await wire.picture(request, spec), spec)


def _checked(x: torch.Tensor, spec: Spec) -> torch.Tensor:
    if int(x.max()) >= spec.levels:
        raise BadCall(f"Pixel value {int(x.max())} is not within 0 and {spec.levels - 1}.")
    return x


async def _given(request: Request, spec: Spec, changes: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What is known, uint8 and bool `(C, H, W)`: from the body (a picture, then one byte a pixel), or the changes."""
    c, h, w = spec.shape
    given, mask = torch.zeros(spec.shape, dtype=torch.uint8), torch.zeros(spec.shape, dtype=torch.bool)
    if request.method == "POST":
        body = await request.body()
        if len(body) != spec.dims + h * w:
            raise BadCall(
                f"{len(body)} bytes are not a picture of {spec.dims} bytes and a mask of {h * w}: what is known is 1 there."
            )
        both = torch.frombuffer(bytearray(body), dtype=torch.uint8)
        given = both[: spec.dims].reshape(spec.shape)
        mask = (both[spec.dims :] != 0).reshape(h, w).expand(c, h, w).clone()
        _checked(torch.where(mask, given, 0), spec)
    for change in changes.split(",") if changes else []:
        t, value = (int(part) for part in change.split(":"))
        if t >= spec.dims or value >= spec.levels:
            raise BadCall(f"{change}: places are 0 to {spec.dims - 1}, and values 0 to {spec.levels - 1}.")
        pixel, colour = divmod(t, c)
        given[colour, pixel // w, pixel % w], mask[colour, pixel // w, pixel % w] = value, True
    return given, mask


def _json(content: dict[str, Any]) -> bytes:
    return _frame(b"J", json.dumps(content, allow_nan=False).encode())


def _frame(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + kind + content


def _head(written: Orders) -> dict[str, Any]:
    return {"labels": None if written.labels is None else written.labels.tolist()}


def _row(row: Row, *, logits: bool) -> bytes:
    """The frame of one row; see the top of this file."""
    values = row.values.permute(0, 2, 1).flatten(1)  # (n, W·C)
    log_p = log_softmax(row.logits.double(), dim=1).permute(0, 3, 2, 1)  # (n, W, C, levels)
    chosen = log_p.flatten(1, 2).gather(2, values.long()[:, :, None])[:, :, 0]
    content = struct.pack("<HH", int(row.row[0]), len(values)) + values.numpy().tobytes()
    content += chosen.numpy().astype("<f4").tobytes()
    if logits:
        content += _halves(log_p[0]).tobytes()
    return _frame(b"R", content)


def _halves(log_p: torch.Tensor) -> np.ndarray:
    """As float16; what is too small for it stays finite."""
    return log_p.clamp_min(-60_000).cpu().numpy().astype("<f2")


def _weighed(model: PixelCNN, written: Orders, finished: torch.Tensor, asked: wire.WriteQuery) -> dict[str, Any]:
    """What is to be said of completions: whether they are draws from p(whole | part), or what they weigh."""
    found = completion.weigh(
        model,
        finished,
        written.known[0],
        written.labels,
        noise=Noise(asked.seed, first=asked.first),
        temperature=max(asked.temperature, COLDEST),
    )
    return {
        "exact": found.exact,
        "log_weights": [float(w) for w in found.log_weights],
        "effective_samples": found.effective_samples,
        "resampled": found.resampled.tolist(),
        "mean": wire.text_of(in_scan_order(found.mean[None]).numpy().astype("<f4")),
        "plain_mean": wire.text_of(in_scan_order(finished.double().mean(0)[None]).numpy().astype("<f4")),
        "prefix": is_prefix(written.known[0]),
    }


def finished(model: PixelCNN, n: int, seed: int, classes: list[int] | None = None) -> dict[str, Any]:
    """Images in the order of writing, of these classes or of some drawn at random, and log p of each sub-pixel (float64), as
    base64.
    """
    labels = orders(model, n, noise=seed).labels if classes is None else torch.tensor(classes)
    assert labels is not None
    pixels = model.sample(n, noise=seed, labels=labels)
    with torch.inference_mode():
        terms = model.log_probs(pixels, labels)
    return {
        "pixels": wire.text_of(in_scan_order(pixels).numpy()),
        "logp": wire.text_of(in_scan_order(terms).numpy().astype("<f8")),
        "labels": labels.tolist(),
    }


def reading(card: zoo.Card, model: PixelCNN, x: torch.Tensor, label: int | None) -> dict[str, Any]:
    """log p of one picture uint8 `(1, C, H, W)`, sub-pixel by sub-pixel in the order of writing; exact, nats."""
    with torch.inference_mode():
        started = time.perf_counter()
        terms = in_scan_order(model.log_probs(x, None if label is None else torch.tensor([label])))[0]  # (T,)
        seconds = time.perf_counter() - started
        by_class = model.log_probs_by_class(x).flatten(2).sum(2)[:, 0] if card.spec.classes else None
    nats = terms.sum()
    bits = float(bits_per_dim(nats, card.spec.dims))
    quantiles = card.scores["bits_per_dim_quantiles"]
    return {
        "log_probs": wire.text_of(terms.numpy().astype("<f4")),
        "nats": float(nats),
        "bits_per_dim": bits,
        "rank": share_at_least(bits, quantiles) if label is None else None,
        "quantiles": [quantiles[5], quantiles[50], quantiles[95]],
        "by_class": None if by_class is None else by_class.tolist(),
        "posterior": None if by_class is None else by_class.softmax(0).tolist(),  # p(y|x), every class as likely before
        "seconds": seconds,
    }


def references(card: zoo.Card) -> dict[str, Any]:
    """Pictures to start from, in the model's own levels, as base64 `(C, H, W)`: of the data set where it is at hand."""
    if card.data == "sprites":
        few = images.to_levels(sprites.render(sprites.draw(10, noise=len(images.SPLITS))), card.spec.levels)
        return {"from": images.TITLES["sprites"], "pictures": [wire.text_of(one.numpy()) for one in few], "names": None}
    if card.data != "mnist-binary":
        return reference_pictures(card.data)
    grey = reference_pictures("mnist")
    pixels = np.stack([np.frombuffer(wire.bytes_of(one), np.uint8).reshape(1, 28, 28) for one in grey["pictures"]])
    two = images.binarise(torch.from_numpy(pixels), torch.arange(len(pixels)), 0)
    return grey | {"pictures": [wire.text_of(one.numpy()) for one in two]}


def own_samples(card: zoo.Card, model: Any) -> dict[str, Any]:
    """Where no data set is at hand: what the model writes itself, one of each class."""
    raw = model.sample(10, noise=1, labels=torch.arange(10) if card.spec.classes else None)
    return {"from": None, "pictures": [wire.text_of(one.numpy()) for one in raw], "names": images.CLASSES[card.data]}


def _prepare(card: zoo.Card, file: bytes, drawn: bool) -> torch.Tensor:
    """A stranger's picture in the model's form, uint8 `(C, H, W)`. `drawn`: white on black, left in its place."""
    c, h, w = card.spec.shape
    grey = torch.from_numpy(uploads.grey(file))
    if drawn:
        ink = torch.nn.functional.interpolate(grey[None, None].double() / 255, size=(h, w), mode="area")[0, 0]
    elif card.data == "sprites":
        ink = prepare.bounding_box(prepare.ink_on_black(grey))
        ink = prepare.scale_longer_side(ink, int(2 * sprites.LARGEST))
        top, left = (h - ink.shape[0]) // 2, (w - ink.shape[1]) // 2
        ink = torch.nn.functional.pad(ink, (left, w - left - ink.shape[1], top, h - top - ink.shape[0]))
    else:
        steps = prepare.PREPARATIONS["fashion" if card.data == "fashion" else "mnist"](grey)
        ink = steps[-1].image.double() / 255
    pixels = prepare.to_bytes(ink[None] * INK[:, None, None] if c == 3 else ink[None])
    if card.data == "mnist-binary":
        return images.binarise(pixels[None], torch.zeros(1, dtype=torch.int64), Noise(0))[0]
    return images.to_levels(pixels, card.spec.levels)


def racing(inference: Inference, name: str, tell: Any) -> Generator[None, None, None]:
    """One image by what is kept, the same image by whole passes, and one pass over the finished image; timed one by one.

    `tell` gets dictionaries with `who`, `done` sub-pixels, `seconds` of computing, and `passes` of the whole network.
    """
    model: Any = inference.model(name)
    wanted = orders(model, 1, noise=7)
    h = model.spec.shape[1]
    writer, seconds, rows = Writer(model), 0.0, []
    began = time.perf_counter()
    writer.admit(wanted)
    while len(writer):
        rows.append(writer.row().values)
        seconds += time.perf_counter() - began
        tell({"who": "cached", "done": len(rows) * model.spec.dims // h, "seconds": seconds})
        yield
        began = time.perf_counter()
    x = torch.stack(rows, dim=2)  # (1, C, H, W)
    label = wanted.labels
    with torch.inference_mode():
        model.log_probs(x, label)  # the first pass of its size finds its memory; it is not counted
        began = time.perf_counter()
        model.log_probs(x, label)
        tell({"who": "parallel", "done": model.spec.dims, "seconds": time.perf_counter() - began, "passes": 1})
    yield
    seconds, same, order = 0.0, True, in_scan_order(x)[0]
    began = time.perf_counter()
    for done, (value, _) in enumerate(naive_steps(model, wanted), start=1):
        seconds += time.perf_counter() - began
        same = same and int(value[0]) == int(order[done - 1])
        tell({"who": "naive", "done": done, "seconds": seconds, "passes": done, "same": same})
        if seconds > RACE_SECONDS:
            break
        yield
        began = time.perf_counter()
