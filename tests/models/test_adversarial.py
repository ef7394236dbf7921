"""The attack against the closed form of a linear classifier, and what must hold for any."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models import adversarial
from models.noise import Noise


def linear(weights: Tensor, bias: Tensor) -> nn.Module:
    """`weights` `(K, D)` on grey levels."""
    made = nn.Sequential(nn.Flatten(), nn.Linear(weights.shape[1], len(weights))).double()
    layer = made[1]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.copy_(bias)
    return made


def picture(seed: int, low: int = 80, high: int = 176, pixels: int = 12) -> Tensor:
    u = Noise(seed).uniform(1, (1, 3, pixels // 3), stream="picture")
    return (low + u * (high - low)).to(torch.uint8)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(2)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 4)).double()

    class OfGrey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, grey: Tensor) -> Tensor:
            return 6 * self.layers(grey / 127.5 - 1)

    return OfGrey()


@given(st.integers(0, 2**40), st.integers(1, 3))
def test_a_linear_classifier_flips_along_the_signs_after_the_steps_of_the_closed_form(seed: int, size: int) -> None:
    noise = Noise(seed)
    w, x = noise.normal(12, stream="weights"), picture(seed)
    margin = 40 * float(noise.uniform(1, stream="margin")) * float(w.abs().mean())
    logit = x.flatten().double() @ w
    # Label 0 has the logit w·x + b = margin, label 1 has 0: each step takes size·Σ|w| from it.
    weights = torch.stack([w, torch.zeros_like(w)])
    model = linear(weights, torch.tensor([margin - float(logit), 0.0], dtype=torch.float64))
    found = list(adversarial.steps(model, x, 0, limit=75, size=size, dtype=torch.float64))
    expected = math.ceil(margin / (size * float(w.abs().sum())))
    assert len(found) == expected + 1
    for step, one in enumerate(found):
        assert torch.equal(one.image.long() - x.long(), -step * size * w.sign().long().reshape(x.shape))
        assert one.changed == step * size
        exact = 1 / (1 + math.exp(-(margin - step * size * float(w.abs().sum()))))
        assert float(one.probabilities[0]) == pytest.approx(exact, abs=1e-9)
    assert found[-1].probabilities[0] <= 0.5 < found[0].probabilities[0]


@given(st.integers(0, 2**40), st.integers(0, 12), st.integers(1, 5), st.sampled_from([16, 256]))
def test_pictures_stay_integers_within_the_limits(network: nn.Module, seed: int, limit: int, size: int, levels: int) -> None:
    x = (Noise(seed).uniform(1, (1, 3, 4), stream="x") * levels).to(torch.uint8)
    found = list(adversarial.steps(network, x, 0, limit=limit, size=size, levels=levels, dtype=torch.float64))
    assert torch.equal(found[0].image, x)
    assert found[0].changed == 0
    assert len(found) <= 1 + math.ceil(min(limit + 4, 1.25 * limit) / size)
    for one in found:
        assert one.image.dtype == torch.uint8
        assert one.image.shape == x.shape
        assert one.changed == int((one.image.long() - x.long()).abs().max()) <= limit
        assert int(one.image.max()) < levels
        assert float(one.probabilities.sum()) == pytest.approx(1)
        torch.testing.assert_close(one.probabilities, network(one.image.double())[0].softmax(0).detach())
    assert all(int(one.probabilities.argmax()) == 0 for one in found[:-1])
    for before, after in itertools.pairwise(found):
        assert 0 < (after.image.long() - before.image.long()).abs().max() <= size


def test_the_direction_is_that_of_the_loss_by_finite_differences(network: nn.Module) -> None:
    x = picture(4)
    label = int(network(x.double()).argmax())
    first, second, *_ = adversarial.steps(network, x, label, dtype=torch.float64)

    def loss(grey: Tensor) -> float:
        return float(nn.functional.cross_entropy(network(grey), torch.tensor([label])).detach())

    moved = (second.image.long() - first.image.long()).flatten()
    for pixel in range(12):
        shift = torch.zeros(12, dtype=torch.float64)
        shift[pixel] = 1e-3
        rise = loss(x + shift.reshape(x.shape)) - loss(x - shift.reshape(x.shape))
        assert moved[pixel] == (1 if rise > 0 else -1)


def test_it_ends_where_the_label_flips_or_reaches_the_target(network: nn.Module) -> None:
    x = picture(1)
    label = int(network(x.double()).argmax())
    *before, last = adversarial.steps(network, x, label, limit=200, dtype=torch.float64)
    assert len(before) > 1
    assert int(last.probabilities.argmax()) != label
    reached = set()
    for target in {0, 1, 2, 3} - {label}:
        *before, last = adversarial.steps(network, x, label, limit=200, target=target, dtype=torch.float64)
        assert all(int(one.probabilities.argmax()) != target for one in before)
        assert last.probabilities[target] > before[0].probabilities[target]
        reached.add(int(last.probabilities.argmax()) == target)
    assert True in reached


def test_a_third_label_on_the_way_to_the_target_does_not_end_it() -> None:
    """Raising all pixels by s makes the logits 10.5 − s, 7 and s: label 1 is on top from s = 4 on, label 2 from s = 8 on."""
    x = torch.full((1, 1, 3, 4), 100, dtype=torch.uint8)
    slopes = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    model = linear(slopes[:, None].expand(3, 12) / 12, torch.tensor([110.5, 7.0, -100.0], dtype=torch.float64))
    found = list(adversarial.steps(model, x, 0, target=2, dtype=torch.float64))
    assert [int(one.probabilities.argmax()) for one in found] == [0] * 4 + [1] * 4 + [2]
    assert len(list(adversarial.steps(model, x, 0, dtype=torch.float64))) == 5


def test_a_picture_already_taken_for_another_is_left_as_it_is(network: nn.Module) -> None:
    x = picture(1)
    wrong = int(network(x.double()).argmin())
    assert len(list(adversarial.steps(network, x, wrong, dtype=torch.float64))) == 1


def test_without_a_flip_it_ends_at_the_limit() -> None:
    x = picture(0)
    w = Noise(0).normal(12, stream="weights")
    model = linear(torch.stack([w, -w]), torch.tensor([1e6, 0.0]))
    *_, last = adversarial.steps(model, x, 0, limit=7, dtype=torch.float64)
    assert last.changed == 7
    assert ((last.image.long() - x.long()).abs() == 7).all()
    blocked = torch.where(w > 0, 0, 255).to(torch.uint8).reshape(x.shape)  # already as far down as pixels go
    assert len(list(adversarial.steps(model, blocked, 0, limit=7, dtype=torch.float64))) == 1


def test_certainty_does_not_stop_it() -> None:
    """p = 1 to the last digit of float64: the gradient of −log p would be zero."""
    x = picture(0)
    w = Noise(3).normal(12, stream="weights").sign() * 100
    model = linear(torch.stack([w, torch.zeros(12)]), torch.tensor([5000.0 - float(x.flatten().double() @ w), 0.0]))
    found = list(adversarial.steps(model, x, 0, limit=64, dtype=torch.float64))
    assert float(found[0].probabilities[0]) == 1.0
    assert len(found) == 1 + math.ceil(5000 / 1200)


def test_no_parameter_is_left_with_a_gradient_even_where_gradients_are_off(network: nn.Module) -> None:
    x = picture(1)
    label = int(network(x.double()).argmax())
    expected = [one.image for one in adversarial.steps(network, x, label, dtype=torch.float64)]
    assert all(parameter.grad is None for parameter in network.parameters())
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            found = list(adversarial.steps(network, picture(1), label, dtype=torch.float64))
        assert all(torch.equal(a, b.image) for a, b in zip(expected, found, strict=True))
        assert not found[-1].probabilities.requires_grad


def test_single_precision_is_the_default() -> None:
    model = linear(torch.eye(12)[:2], torch.zeros(2)).float()
    x = torch.full((1, 1, 3, 4), 10, dtype=torch.uint8)
    x[0, 0, 0, 0] = 13
    found = list(adversarial.steps(model, x, 0))
    assert len(found) == 3  # 13 to 10 falls and rises by one level each a step: 11 to 12 after two
    assert found[-1].probabilities.dtype == torch.float64


def test_what_cannot_be_attacked_is_refused(network: nn.Module) -> None:
    x = picture(0)

    def first(x: Tensor = x, label: int = 0, model: nn.Module = network, **settings: int) -> None:
        next(adversarial.steps(model, x, label, dtype=torch.float64, **settings))  # type: ignore[arg-type]

    for wrong in (x.repeat(2, 1, 1, 1), x[0], x.double()):
        with pytest.raises(ValueError, match="One picture is uint8"):
            first(wrong)
    with pytest.raises(ValueError, match="not within 0 and 15"):
        first(levels=16)
    with pytest.raises(ValueError, match="Label 4 is not within 0 and 3"):
        first(label=4)
    with pytest.raises(ValueError, match="Label 9 is not"):
        first(target=9)
    with pytest.raises(ValueError, match="label itself"):
        first(target=0)
    with pytest.raises(ValueError, match="at least 0 and 1"):
        first(size=0)
    with pytest.raises(ValueError, match="one label"):
        first(model=linear(torch.ones(1, 12), torch.zeros(1)))
