"""Addressed noise: the published vectors of Philox4x32-10, a slow twin in plain integers, and what an address promises."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import noise as module
from models.noise import SEED_LIMIT, Noise, philox

WORD = st.integers(0, 2**32 - 1)
ONES = 0xFFFFFFFF


def slow_philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Salmon et al. (2011), section 3.3, in Python's unbounded integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 % 2**32, (p0 >> 32) ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def slow_uniform(seed: int, step: int, stream: str, example: int, position: int) -> float:
    """The number at one address: a block of four words holds two numbers of 53 bits."""
    counter = (position // 2, example, zlib.crc32(stream.encode()), step)
    words = slow_philox(counter, (seed % 2**32, seed >> 32))
    high, low = words[:2] if position % 2 == 0 else words[2:]
    return min((((high << 21) | (low >> 11)) + 0.5) / 2**53, 1 - 2**-53)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # kat_vectors of Random123 1.14, "philox4x32 10"
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ONES, ONES, ONES, ONES), (ONES, ONES), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_published_vectors(counter: tuple[int, ...], key: tuple[int, int], words: str) -> None:
    assert " ".join(f"{int(word):08x}" for word in philox([np.array(c, np.uint32) for c in counter], key)) == words
    assert " ".join(f"{word:08x}" for word in slow_philox(counter, key)) == words


@given(st.lists(st.tuples(WORD, WORD, WORD, WORD), min_size=1, max_size=5), st.tuples(WORD, WORD))
def test_philox_equals_its_slow_twin(counters: list[tuple[int, ...]], key: tuple[int, int]) -> None:
    fast = np.stack(philox(list(np.array(counters, np.uint32).T), key), axis=1)
    assert [tuple(map(int, row)) for row in fast] == [slow_philox(c, key) for c in counters]


@given(st.integers(0, SEED_LIMIT - 1), WORD, st.text(max_size=5), st.integers(0, 10**6), st.integers(0, 10**6))
def test_uniform_equals_its_slow_twin_at_any_address(seed: int, step: int, stream: str, example: int, start: int) -> None:
    numbers = Noise(seed, step).uniform(torch.tensor([example]), (3,), stream=stream, start=start)
    assert numbers.tolist() == [[slow_uniform(seed, step, stream, example, start + p) for p in range(3)]]


@given(st.integers(0, SEED_LIMIT - 1), st.integers(0, 1000), st.integers(0, 1000))
def test_normal_is_box_and_muller_of_the_uniforms(seed: int, example: int, pair: int) -> None:
    u, v = (slow_uniform(seed, 0, "z", example, 2 * pair + p) for p in (0, 1))
    radius = math.sqrt(-2 * math.log(u))
    expected = [radius * math.cos(2 * math.pi * v), radius * math.sin(2 * math.pi * v)]
    numbers = Noise(seed).normal(torch.tensor([example]), (2,), stream="z", start=2 * pair)[0]
    assert numbers.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("draw", [Noise.uniform, Noise.normal], ids=["uniform", "normal"])
@given(
    n=st.integers(1, 12),
    shape=st.lists(st.integers(1, 4), max_size=3),
    data=st.data(),
    first=st.integers(0, 1000),
)
def test_numbers_depend_on_no_batch_no_order_and_no_split(draw, n: int, shape: list[int], data, first: int) -> None:
    noise = Noise(7, step=3, first=first)
    whole = draw(noise, n, shape, stream="z")
    assert whole.shape == (n, *shape)

    cut = data.draw(st.integers(0, n), "cut")
    parts = [draw(noise, cut, shape, stream="z"), draw(noise.skip(cut), n - cut, shape, stream="z")]
    assert torch.equal(torch.cat(parts), whole)

    order = torch.tensor(data.draw(st.permutations(range(n)), "order"))
    assert torch.equal(draw(noise, order, shape, stream="z"), whole[order])

    flat, begin = whole.reshape(n, -1), data.draw(st.integers(0, math.prod(shape)), "begin")
    rest = draw(noise, n, (math.prod(shape) - begin,), stream="z", start=begin)
    assert torch.equal(rest, flat[:, begin:])


def test_no_examples_and_no_positions_give_empty_tensors() -> None:
    assert Noise(0).uniform(0, (3,), stream="z").shape == (0, 3)
    assert Noise(0).normal(0, (3, 2), stream="z").shape == (0, 3, 2)
    assert Noise(0).normal(4, (0,), stream="z").shape == (4, 0)


def test_seeds_steps_streams_and_examples_do_not_resemble_each_other() -> None:
    sources = [Noise(0), Noise(1), Noise(2**32), Noise(2**62), Noise(0, step=1), Noise(0, step=2), Noise(0, first=10**6)]
    rows = [source.normal(1, (4000,), stream="z") for source in sources]
    rows += [Noise(0).normal(1, (4000,), stream=stream) for stream in ("x", "epsilon", "order")]
    correlation = torch.corrcoef(torch.cat(rows)) - torch.eye(len(rows))
    assert correlation.abs().max() < 5 / math.sqrt(4000)


def test_at_changes_the_step_and_skip_the_examples_and_nothing_else() -> None:
    assert Noise(5, first=2).at(9) == Noise(5, step=9, first=2)
    assert Noise(5, step=9).skip(3).skip(4) == Noise(5, step=9, first=7)


def test_an_int_is_taken_as_a_seed() -> None:
    assert Noise.of(12) == Noise(12)
    assert Noise.of(Noise(12, step=3)) == Noise(12, step=3)


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 17])
def test_uniforms_pass_kolmogorov_and_smirnov(seed: int) -> None:
    across_positions = Noise(seed).uniform(20, (1000,), stream="z").flatten()
    across_examples = Noise(seed).uniform(20_000, (), stream="z")
    for numbers in (across_positions, across_examples):
        assert scipy.stats.kstest(numbers.numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 17])
def test_normals_pass_kolmogorov_and_smirnov(seed: int) -> None:
    pairs = Noise(seed).normal(20_000, (2,), stream="z")
    for numbers in (pairs[:, 0], pairs[:, 1], pairs.sum(1) / math.sqrt(2), pairs.diff(dim=1)[:, 0] / math.sqrt(2)):
        assert scipy.stats.kstest(numbers.numpy(), "norm").pvalue > 1e-3
    squares = pairs.square()  # neighbours share a radius and an angle: their squares must not go together either
    assert abs(float(torch.corrcoef(squares.T)[0, 1])) < 5 / math.sqrt(20_000)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("word", [0, ONES])
def test_the_interval_stays_open_at_the_extreme_words(word: int, dtype: torch.dtype, monkeypatch) -> None:
    monkeypatch.setattr(module, "philox", lambda counter, key: [np.full_like(c, word) for c in counter])
    numbers = Noise(0).uniform(2, (3,), stream="z", dtype=dtype)
    assert numbers.dtype == dtype
    assert numbers.min() > 0
    assert numbers.max() < 1
    assert Noise(0).normal(2, (3,), stream="z", dtype=dtype).isfinite().all()


@given(st.integers(0, 500), st.integers(0, 100))
def test_permutation_holds_every_number_once(n: int, seed: int) -> None:
    assert Noise(seed).permutation(n, stream="order").sort().values.tolist() == list(range(n))


def test_permutations_are_uniform_over_all_orders() -> None:
    counts = torch.zeros(27)
    for step in range(2400):
        a, b, c = Noise(3, step).permutation(3, stream="order").tolist()
        counts[9 * a + 3 * b + c] += 1
    orders = counts[counts > 0]
    assert len(orders) == 6
    assert scipy.stats.chisquare(orders.numpy()).pvalue > 1e-3


@given(st.one_of(st.integers(max_value=-1), st.integers(min_value=SEED_LIMIT)))
def test_a_bad_seed_is_named_with_its_limit(seed: int) -> None:
    with pytest.raises(ValueError, match=r"^seed .* is not within ") as raised:
        Noise(seed)
    assert str(seed) in str(raised.value)
    assert "2**63 - 1" in str(raised.value)


@given(st.one_of(st.integers(max_value=-1), st.integers(min_value=2**32)))
def test_a_bad_step_is_named_with_its_limit(step: int) -> None:
    with pytest.raises(ValueError, match=r"^step .* is not within ") as raised:
        Noise(0).at(step)
    assert str(step) in str(raised.value)
    assert "2**32 - 1" in str(raised.value)


@pytest.mark.gpu
def test_the_same_seed_gives_the_same_noise_on_cuda() -> None:
    for draw in (Noise.uniform, Noise.normal):
        for dtype in (torch.float64, torch.float32):
            on_cuda = draw(Noise(3), 5, (7,), stream="z", dtype=dtype, device="cuda")
            assert on_cuda.device.type == "cuda"
            assert torch.equal(on_cuda.cpu(), draw(Noise(3), 5, (7,), stream="z", dtype=dtype))
            index = torch.arange(5, device="cuda")
            assert torch.equal(draw(Noise(3), index, (7,), stream="z", dtype=dtype, device="cuda"), on_cuda)
