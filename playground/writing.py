"""Many people's images, written by one PixelCNN at once.

A `Writer` holds images at different rows. So who comes while others' images are half written does not wait for them: the new
images join at the next row, and sixty people cost little more than a few. For each model there is one such room, a generator on
the inference thread that writes one row of everything in it, hands the rows out, and lets the others have their turn.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import torch

from models.pixel_writer import Orders, Row, Writer
from models.pixelcnn import PixelCNN
from playground.inference import Busy, Inference

ROOM = 96  # images of one model under way at once: a row of them takes about as long as a frame of a film
MAX_WAITING = 960  # images before the door: ten rooms full

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """Some images that somebody wants. `tell` is called on the inference thread: with each row, and at last with what `last`
    makes of all images, or with the error.
    """

    model: str
    images: int
    orders: Callable[[PixelCNN], Orders]
    tell: Callable[[Orders | Row | End | Exception], None]
    last: Callable[[PixelCNN, Orders, torch.Tensor], Any] = lambda *_: None
    cancelled: bool = False


@dataclass(frozen=True)
class End:
    """All is written: uint8 `(n, C, H, W)`, and what the job's `last` made of it."""

    images: torch.Tensor
    result: Any


@dataclass(eq=False)
class _Guest:
    """A job in the room."""

    job: Job
    orders: Orders
    images: torch.Tensor  # uint8 (n, C, H, W)
    row: int  # the next


@dataclass
class Rooms:
    inference: Inference
    _waiting: dict[str, deque[Job]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, job: Job) -> None:
        """Raises Busy beyond `MAX_WAITING` images."""
        with self._lock:
            waiting = self._waiting.get(job.model)
            if waiting is None:
                self.inference.stream(self._run(job.model))
                waiting = self._waiting[job.model] = deque()
            if sum(one.images for one in waiting) + job.images > MAX_WAITING:
                raise Busy(f"{MAX_WAITING} images are waiting to be written, which is the limit: try again in a moment.")
            waiting.append(job)

    def _run(self, name: str) -> Generator[None, None, None]:
        """The room of one model, from the first job until none is left."""
        guests: list[_Guest] = []
        writer: Writer | None = None
        while True:
            with self._lock:
                new = self._next(name, sum(guest.job.images for guest in guests))
                if not guests and not new:
                    del self._waiting[name]
                    return
            try:
                model: Any = self.inference.model(name)
                writer = Writer(model) if writer is None else writer
                gone = [guest for guest in guests if guest.job.cancelled]
                if gone:
                    writer.keep(torch.cat([torch.full((guest.job.images,), guest not in gone) for guest in guests]))
                    guests = [guest for guest in guests if guest not in gone]
                for job in new:
                    guests += self._admit(model, writer, job)
                if len(writer):
                    self._hand_out(guests, writer.row())
                guests = [guest for guest in guests if not self._finished(model, guest)]
            except Exception as error:  # told to whoever waits for it
                for job in dict.fromkeys([*(guest.job for guest in guests), *new]):
                    _told(job, error)
                guests, writer = [], None
            yield

    def _next(self, name: str, here: int) -> list[Job]:
        """Who may come in."""
        waiting, new = self._waiting[name], []
        while waiting and (here + waiting[0].images <= ROOM or not here):
            job = waiting.popleft()
            if not job.cancelled:
                new.append(job)
                here += job.images
        return new

    def _admit(self, model: PixelCNN, writer: Writer, job: Job) -> list[_Guest]:
        try:
            orders = job.orders(model)
        except Exception as error:  # the job's own: nobody else is disturbed
            _told(job, error)
            return []
        before = len(writer)
        writer.admit(orders)
        start = int(writer.place[before]) if len(writer) > before else model.spec.shape[1]
        _told(job, orders)
        return [_Guest(job, orders, orders.given.clone(), start)]

    def _hand_out(self, guests: list[_Guest], row: Row) -> None:
        """Each its own part of the rows, which stand in the order in which the guests came."""
        first = 0
        for guest in guests:
            if guest.row >= guest.images.shape[2]:
                continue  # all was known: nothing of it was written
            mine = slice(first, first + guest.job.images)
            first += guest.job.images
            part = Row(row.row[mine], row.values[mine], row.logits[mine])
            guest.images[:, :, guest.row] = part.values
            guest.row += 1
            _told(guest.job, part)

    def _finished(self, model: PixelCNN, guest: _Guest) -> bool:
        if guest.row < guest.images.shape[2]:
            return False
        try:
            end: End | Exception = End(guest.images, guest.job.last(model, guest.orders, guest.images))
        except Exception as error:  # the job's own: nobody else is disturbed
            end = error
        _told(guest.job, end)
        return True


def _told(job: Job, news: Orders | Row | End | Exception) -> None:
    """Whoever cannot be told any more (the server is being closed, say) leaves at the next row."""
    try:
        job.tell(news)
    except Exception:
        log.exception("a job could not be told")
        job.cancelled = True
