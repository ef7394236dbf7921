"""Rooms in which many people's images are written at once: whoever comes, leaves or fails, each gets what they would get alone.

Most rooms here are turned by hand, a row at a time, so that a test says at which row somebody comes in. The rest have a real
inference thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import pytest
import torch
from hypothesis import given as holds_for
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from models.noise import Noise
from models.pixel_writer import Orders, Row, Writer, orders
from models.pixelcnn import PixelCNN
from playground import inference as inference_module
from playground import writing
from playground.inference import Busy, Inference
from playground.writing import End, Job, Rooms

torch.set_num_threads(1)  # the networks are tiny: threads would wait for each other
SHAPE, LEVELS, CLASSES = (1, 6, 5), 4, 3
ROWS = SHAPE[1]
PATIENCE = 30  # seconds


def tiny(*, gated: bool = True, seed: int = 0) -> PixelCNN:
    """Random weights, so large that a place depends visibly on its label and on all that it may see."""
    torch.manual_seed(seed)
    model = PixelCNN(SHAPE, levels=LEVELS, channels=5, layers=2, classes=CLASSES, gated=gated, embedding=3, hidden=5)
    model = model.double().eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(0, 0.4)
    model.head.out.weight.mul_(3)
    return model


MODELS = {"gated": tiny(), "plain": tiny(gated=False, seed=1)}
RECTANGLE = (Noise(3).uniform(1, SHAPE, stream="picture")[0] * LEVELS).to(torch.uint8)
MASKS = {  # what is known, bool (C, H, W)
    "nothing": torch.zeros(SHAPE, dtype=torch.bool),
    "two rows": (torch.arange(ROWS) < 2)[:, None].expand(SHAPE).clone(),
    "two rows and a half": (torch.arange(ROWS * SHAPE[2]) < 13).view(SHAPE),
    "the left": (torch.arange(SHAPE[2]) < 2).expand(SHAPE).clone(),
    "the last row": (torch.arange(ROWS) == ROWS - 1)[:, None].expand(SHAPE).clone(),
    "all": torch.ones(SHAPE, dtype=torch.bool),
}


class ByHand:
    """In place of the inference thread: rooms go on by one row when told to."""

    def __init__(self) -> None:
        self.under_way: list[Generator[None, None, Any]] = []
        self.opened = 0

    def model(self, name: str) -> PixelCNN:
        return MODELS[name]

    def stream(self, slices: Generator[None, None, Any]) -> Future[Any]:
        self.under_way.append(slices)
        self.opened += 1
        return Future()

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            for room in list(self.under_way):
                try:
                    next(room)
                except StopIteration:
                    self.under_way.remove(room)

    def until_empty(self) -> None:
        for _ in range(200):
            if not self.under_way:
                return
            self.turn()
        raise AssertionError("A room never closes.")


class Person:
    """Somebody who wants images, and what they were told."""

    def __init__(self, n: int = 1, *, model: str = "gated", known: str = "nothing", **wanted: Any) -> None:
        self.model, self.n, self.known = MODELS[model], n, MASKS[known]
        label = wanted.pop("label", None)
        labels = None if label is None else torch.full((n,), label)
        self.wanted = {"noise": 0, "labels": labels, "given": RECTANGLE, "mask": self.known} | wanted
        self.news: list[Orders | Row | End | Exception] = []
        self.done = threading.Event()
        self.job = Job(model, n, self.orders, self.tell, self.last)

    def orders(self, model: PixelCNN) -> Orders:
        return orders(model, self.n, **self.wanted)

    def tell(self, news: Orders | Row | End | Exception) -> None:
        self.news.append(news)
        if isinstance(news, (End, Exception)):
            self.done.set()

    def last(self, model: PixelCNN, written: Orders, finished: Tensor) -> Any:
        return "said at the end"

    @property
    def rows(self) -> list[Row]:
        return [one for one in self.news if isinstance(one, Row)]

    @property
    def errors(self) -> list[Exception]:
        return [one for one in self.news if isinstance(one, Exception)]

    def finished(self) -> Tensor:
        """The images, which came last and once."""
        assert not self.errors, self.errors
        assert isinstance(self.news[0], Orders)
        end = self.news[-1]
        assert isinstance(end, End)
        assert len(self.news) == len(self.rows) + 2
        return end.images

    def alone(self) -> Tensor:
        return self.model.sample(self.n, **self.wanted)

    def got_what_they_would_get_alone(self) -> bool:
        return torch.equal(self.finished(), self.alone())


def rooms_by_hand() -> tuple[Any, Rooms]:
    hand: Any = ByHand()
    return hand, Rooms(hand)


# --- Each as if alone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_who_comes_in_at_another_row_gets_what_they_would_get_alone(model: str) -> None:
    hand, rooms = rooms_by_hand()
    people = [
        Person(2, model=model, noise=1),
        Person(1, model=model, noise=2, label=1, temperature=0.5),
        Person(3, model=model, noise=Noise(1, first=4), known="the left"),
        Person(1, model=model, noise=3, known="two rows and a half", label=2),
        Person(2, model=model, noise=4, temperature=0.0),
    ]
    for person in people:
        rooms.put(person.job)
        hand.turn()
    hand.until_empty()
    assert hand.opened == 1  # they were together
    for person in people:
        assert person.got_what_they_would_get_alone()


COMING = st.fixed_dictionaries(
    {
        "at": st.integers(0, 9),
        "n": st.integers(1, 3),
        "seed": st.integers(0, 99),
        "label": st.none() | st.integers(0, CLASSES - 1),
        "temperature": st.sampled_from([0.0, 0.7, 1.0, 2.0]),
        "known": st.sampled_from(list(MASKS)),
        "leaves": st.none() | st.integers(0, 12),
        "fails": st.integers(0, 4).map(lambda k: k == 0),
    }
)


@settings(deadline=None, derandomize=True, max_examples=25)
@holds_for(st.lists(COMING, min_size=1, max_size=6), st.sampled_from(list(MODELS)), st.integers(1, 7))
def test_whoever_comes_leaves_or_fails_the_others_images_are_their_own(
    coming: list[dict[str, Any]], model: str, room: int
) -> None:
    hand, rooms = rooms_by_hand()
    people = []
    for one in coming:
        person = Person(
            one["n"], model=model, known=one["known"], noise=one["seed"], label=one["label"], temperature=one["temperature"]
        )
        if one["fails"]:
            person.job.orders = failing
        people.append(person)
    heard_at_leaving = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "ROOM", room)
        for step in range(13):
            for i, (one, person) in enumerate(zip(coming, people, strict=True)):
                if one["at"] == step:
                    rooms.put(person.job)
                if one["leaves"] == step:
                    person.job.cancelled = True
                    heard_at_leaving[i] = len(person.news)
            hand.turn()
        hand.until_empty()
    for i, (one, person) in enumerate(zip(coming, people, strict=True)):
        if i in heard_at_leaving:
            assert len(person.news) == heard_at_leaving[i]
        elif one["fails"]:
            assert [str(error) for error in person.news] == ["no such thing"]
        else:
            assert person.got_what_they_would_get_alone()
            assert [int(row.row[0]) for row in person.rows] == list(range(ROWS - len(person.rows), ROWS))


def failing(model: PixelCNN) -> Orders:
    raise ValueError("no such thing")


@pytest.mark.parametrize("model", MODELS)
def test_rows_are_told_as_they_come_with_what_they_were_drawn_from(model: str) -> None:
    hand, rooms = rooms_by_hand()
    early, late = Person(2, model=model, noise=5, label=0), Person(3, model=model, noise=6, temperature=2.0)
    rooms.put(early.job)
    hand.turn(3)
    rooms.put(late.job)
    assert len(early.rows) == 3
    hand.until_empty()
    for person in (early, late):
        images, first = person.finished(), person.news[0]
        assert isinstance(first, Orders)
        terms = person.model.log_probs(images, first.labels)  # by one parallel pass, at temperature 1
        for i, row in enumerate(person.rows):
            assert row.row.tolist() == [i] * person.n
            assert torch.equal(row.values, images[:, :, i])
            found = row.logits.log_softmax(1).gather(1, row.values.long()[:, None])[:, 0]
            torch.testing.assert_close(found, terms[:, :, i], rtol=1e-9, atol=1e-9)


def test_rows_that_are_known_are_not_written() -> None:
    hand, rooms = rooms_by_hand()
    person = Person(2, known="two rows")
    rooms.put(person.job)
    hand.until_empty()
    assert [int(row.row[0]) for row in person.rows] == [2, 3, 4, 5]
    assert torch.equal(person.finished()[:, :, :2], RECTANGLE[None, :, :2].expand(2, -1, -1, -1))
    assert person.got_what_they_would_get_alone()


@pytest.mark.parametrize("company", [False, True])
def test_where_all_is_known_the_end_comes_at_once(company: bool) -> None:
    hand, rooms = rooms_by_hand()
    other = Person(2, noise=8)
    if company:
        rooms.put(other.job)
        hand.turn(2)
    person = Person(3, known="all")
    rooms.put(person.job)
    hand.turn()
    assert torch.equal(person.finished(), RECTANGLE.expand(3, *SHAPE))
    assert not person.rows
    hand.until_empty()
    assert not company or other.got_what_they_would_get_alone()


def test_what_the_job_makes_of_its_images_comes_with_them() -> None:
    hand, rooms = rooms_by_hand()
    person = Person(2, noise=7)
    person.job.last = lambda model, written, finished: (model is person.model, written.labels, finished.clone())
    plain = Job("gated", 1, person.orders, person.tell)
    rooms.put(person.job)
    hand.until_empty()
    end = person.news[-1]
    assert isinstance(end, End)
    right, labels, finished = end.result
    assert right
    assert labels.tolist() == orders(person.model, 2, noise=7).labels.tolist()  # type: ignore[union-attr]
    assert torch.equal(finished, person.alone())
    assert plain.last(person.model, person.orders(person.model), finished) is None


# --- Leaving, and what goes wrong -------------------------------------------------------------------------------------


def test_who_leaves_is_written_no_further_and_the_others_go_on() -> None:
    hand, rooms = rooms_by_hand()
    people = [Person(2, noise=1), Person(1, noise=2), Person(3, noise=3)]
    for person in people:
        rooms.put(person.job)
    hand.turn(2)
    people[1].job.cancelled = True
    heard = len(people[1].news)
    hand.until_empty()
    assert len(people[1].news) == heard == 3  # its orders and two rows
    assert people[0].got_what_they_would_get_alone()
    assert people[2].got_what_they_would_get_alone()


def test_the_place_of_who_leaves_is_not_computed_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = watched(monkeypatch)
    hand, rooms = rooms_by_hand()
    staying, leaving = Person(2), Person(3)
    rooms.put(staying.job)
    rooms.put(leaving.job)
    hand.turn(2)
    leaving.job.cancelled = True
    hand.until_empty()
    assert sizes == [5, 5, 2, 2, 2, 2]


def test_a_room_that_all_have_left_closes() -> None:
    hand, rooms = rooms_by_hand()
    people = [Person(2), Person(1)]
    for person in people:
        rooms.put(person.job)
    hand.turn()
    for person in people:
        person.job.cancelled = True
    hand.turn(2)
    assert not hand.under_way
    assert not any(isinstance(one, End) for person in people for one in person.news)


def test_who_leaves_before_the_door_is_never_let_in() -> None:
    hand, rooms = rooms_by_hand()
    person = Person()
    asked: list[str] = []
    person.job.orders = lambda model: asked.append("asked") or person.orders(model)  # type: ignore[func-returns-value]
    rooms.put(person.job)
    person.job.cancelled = True
    hand.until_empty()
    assert asked == person.news == []


def test_an_error_in_ones_orders_is_told_to_that_one_alone() -> None:
    hand, rooms = rooms_by_hand()
    before, wrong, after = Person(2, noise=1), Person(4), Person(1, noise=2)
    wrong.job.orders = failing
    rooms.put(before.job)
    hand.turn(2)
    rooms.put(wrong.job)
    rooms.put(after.job)
    hand.turn()
    assert [str(error) for error in wrong.errors] == ["no such thing"]
    assert len(wrong.news) == 1
    hand.until_empty()
    assert len(wrong.news) == 1
    assert before.got_what_they_would_get_alone()
    assert after.got_what_they_would_get_alone()


def test_an_error_in_what_one_makes_of_finished_images_is_told_to_that_one_alone() -> None:
    def broken(model: PixelCNN, written: Orders, finished: Tensor) -> Any:
        raise ValueError("cannot be weighed")

    hand, rooms = rooms_by_hand()
    first, wrong, beside, late = Person(noise=1), Person(2, noise=2), Person(noise=3), Person(noise=4)
    wrong.job.last = broken
    for person in (first, wrong, beside):
        rooms.put(person.job)
    hand.turn(3)
    rooms.put(late.job)
    hand.until_empty()
    assert [str(error) for error in wrong.errors] == ["cannot be weighed"]
    for person in (first, beside, late):
        assert person.got_what_they_would_get_alone()


def test_an_error_of_the_writer_is_told_to_all_and_the_room_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fail = [False]

    class Failing(Writer):
        def row(self) -> Row:
            if fail[0]:
                raise ArithmeticError("out of memory, say")
            return super().row()

    monkeypatch.setattr(writing, "Writer", Failing)
    hand, rooms = rooms_by_hand()
    people = [Person(2, noise=1), Person(1, noise=2)]
    rooms.put(people[0].job)
    hand.turn(2)
    fail[0] = True
    rooms.put(people[1].job)
    hand.turn()
    for person in people:
        assert {type(error) for error in person.errors} == {ArithmeticError}
    heard = [len(person.news) for person in people]
    fail[0] = False
    after = [Person(2, noise=1), Person(3, noise=4)]
    for person in after:
        rooms.put(person.job)
        hand.turn()
    hand.until_empty()
    assert hand.opened == 1
    assert [len(person.news) for person in people] == heard
    for person in after:
        assert person.got_what_they_would_get_alone()


def test_a_model_that_cannot_be_loaded_is_told_to_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hand, rooms = rooms_by_hand()
    person = Person()
    monkeypatch.setattr(hand, "model", lambda name: 1 / 0)
    rooms.put(person.job)
    hand.until_empty()
    assert [type(error) for error in person.news] == [ZeroDivisionError]
    monkeypatch.undo()
    person = Person(2)
    rooms.put(person.job)
    hand.until_empty()
    assert person.got_what_they_would_get_alone()


# --- Limits -----------------------------------------------------------------------------------------------------------


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each row was written of."""
    sizes: list[int] = []

    class Watched(Writer):
        def row(self) -> Row:
            sizes.append(len(self))
            return super().row()

    monkeypatch.setattr(writing, "Writer", Watched)
    return sizes


def test_no_more_than_a_room_full_are_written_at_once_and_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ROOM", 5)
    sizes = watched(monkeypatch)
    hand, rooms = rooms_by_hand()
    people = [Person(2, noise=1), Person(2, noise=2), Person(2, noise=3), Person(1, noise=4)]
    for person in people:
        rooms.put(person.job)
    hand.turn()
    assert [bool(person.news) for person in people] == [
        True,
        True,
        False,
        False,
    ]  # the last would fit, but has not yet its turn
    hand.turn(ROWS)
    assert all(person.news for person in people)
    hand.until_empty()
    assert max(sizes) == 4
    for person in people:
        assert person.got_what_they_would_get_alone()


def test_a_place_that_becomes_free_is_taken_at_the_next_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ROOM", 4)
    sizes = watched(monkeypatch)
    hand, rooms = rooms_by_hand()
    short, long, waiting = Person(2, known="two rows"), Person(2), Person(2, noise=5)
    for person in (short, long, waiting):
        rooms.put(person.job)
    hand.until_empty()
    assert sizes == [4] * 4 + [4] * 2 + [2] * 4
    assert waiting.got_what_they_would_get_alone()


def test_more_than_a_room_full_are_written_where_nobody_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ROOM", 3)
    hand, rooms = rooms_by_hand()
    large, small = Person(5), Person(1)
    rooms.put(large.job)
    rooms.put(small.job)
    hand.turn()
    assert large.news
    assert not small.news
    hand.until_empty()
    assert large.got_what_they_would_get_alone()
    assert small.got_what_they_would_get_alone()


def test_beyond_the_waiting_room_people_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_WAITING", 10)
    hand, rooms = rooms_by_hand()
    people = [Person(6, noise=1), Person(4, noise=2)]
    for person in people:
        rooms.put(person.job)
    with pytest.raises(Busy, match="10 images are waiting to be written, which is the limit"):
        rooms.put(Person(1).job)
    other = Person(1, model="plain")
    rooms.put(other.job)  # another door
    hand.turn()
    late = Person(10, noise=3)
    rooms.put(late.job)  # they have gone in
    hand.until_empty()
    for person in (*people, other, late):
        assert person.got_what_they_would_get_alone()


def test_the_waiting_room_holds_ten_rooms_full() -> None:
    assert writing.MAX_WAITING == 10 * writing.ROOM


def test_a_request_for_more_than_the_waiting_room_leaves_the_room_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_WAITING", 3)
    hand, rooms = rooms_by_hand()
    with pytest.raises(Busy):
        rooms.put(Person(4).job)
    person = Person(3)
    rooms.put(person.job)
    hand.until_empty()
    assert person.got_what_they_would_get_alone()


def test_an_empty_room_closes_and_opens_again() -> None:
    hand, rooms = rooms_by_hand()
    for opened in (1, 2, 3):
        person = Person(1, noise=opened)
        rooms.put(person.job)
        assert len(hand.under_way) == 1
        hand.until_empty()
        assert hand.opened == opened
        assert person.got_what_they_would_get_alone()


# --- With a real inference thread -------------------------------------------------------------------------------------


def real_rooms(monkeypatch: pytest.MonkeyPatch) -> tuple[Inference, Rooms]:
    engine = Inference()
    monkeypatch.setattr(engine, "model", lambda name: MODELS[name])
    return engine, Rooms(engine)


def test_between_two_rows_a_short_job_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, rooms = real_rooms(monkeypatch)
    order: list[str] = []
    person = Person(2)

    def tell(news: Orders | Row | End | Exception) -> None:
        assert threading.current_thread().name == "inference"
        if isinstance(news, Row):
            order.append("row")
            if len(order) == 3:
                engine.submit(lambda: order.append("short"))
        person.tell(news)

    person.job.tell = tell
    rooms.put(person.job)
    assert person.done.wait(PATIENCE)
    assert order == ["row"] * 3 + ["short"] + ["row"] * 3
    assert person.got_what_they_would_get_alone()


def test_the_rooms_of_two_models_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, rooms = real_rooms(monkeypatch)
    order: list[str] = []
    people = {name: Person(1, model=name) for name in MODELS}

    def telling(name: str) -> Callable[[Orders | Row | End | Exception], None]:
        def tell(news: Orders | Row | End | Exception) -> None:
            if isinstance(news, Row):
                order.append(name)
            people[name].tell(news)

        return tell

    gate = threading.Event()
    engine.submit(gate.wait)  # both are there before the first row
    for name, person in people.items():
        person.job.tell = telling(name)
        rooms.put(person.job)
    gate.set()
    for person in people.values():
        assert person.done.wait(PATIENCE)
        assert person.got_what_they_would_get_alone()
    assert order == list(MODELS) * ROWS


def test_people_who_come_as_the_room_closes_are_all_served(monkeypatch: pytest.MonkeyPatch) -> None:
    _, rooms = real_rooms(monkeypatch)
    people: list[list[Person]] = [[Person(1, noise=10 * i + k, known="the last row") for k in range(6)] for i in range(4)]

    def visit(mine: list[Person]) -> None:
        for person in mine:
            rooms.put(person.job)
            assert person.done.wait(PATIENCE)

    visitors = [threading.Thread(target=visit, args=(mine,)) for mine in people]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    for mine in people:
        for person in mine:
            assert person.got_what_they_would_get_alone()


def test_who_was_refused_by_a_full_queue_leaves_no_second_room_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, rooms = real_rooms(monkeypatch)
    gate, held = threading.Event(), threading.Event()
    engine.submit(lambda: held.set() or gate.wait())  # type: ignore[func-returns-value]
    assert held.wait(PATIENCE)
    with monkeypatch.context() as patch:
        patch.setattr(inference_module, "MAX_WAITING", 0)
        with pytest.raises(Busy):
            rooms.put(Person().job)
    person = Person(1, noise=3)
    rooms.put(person.job)
    gate.set()
    assert person.done.wait(5), "neither the end nor an error was ever told"
    assert person.got_what_they_would_get_alone()
