"""PixelCNN against enumeration of tiny spaces, and its receptive field against one found by walking from pixel to pixel.

Weights are random and large, so that a place depends visibly on everything that it may see.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models import pixelcnn
from models.contract import Batch, Density, Spec
from models.noise import Noise
from models.objectives import OBJECTIVES, negative_log_likelihood
from models.pixelcnn import PixelCNN
from models.zoo import KINDS

TINY = {  # shape and levels: a few hundred images each
    "grey": ((1, 3, 3), 2),
    "grey-3-levels": ((1, 2, 3), 3),
    "two-colours": ((2, 2, 2), 2),
    "two-colours-3-levels": ((2, 1, 3), 3),
    "column-in-colour": ((3, 2, 1), 3),
    "row-in-colour": ((3, 1, 2), 3),
}
NETWORKS = pytest.mark.parametrize("gated", [True, False], ids=["gated", "plain"])


def random(shape: tuple[int, int, int], levels: int, *, seed: int = 0, **settings: Any) -> PixelCNN:
    """A network of random weights. Logits are spread by 2 or so: some levels are ten times as likely as others."""
    torch.manual_seed(seed)
    wanted = {"channels": 6, "layers": 2, "embedding": 3, "hidden": 5} | settings
    model = PixelCNN(shape=shape, levels=levels, **wanted).double().eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(0, 0.35)
    model.head.out.weight.mul_(4)
    return model


def some_images(model: PixelCNN, n: int, seed: int = 1) -> Tensor:
    u = Noise(seed).uniform(n, model.spec.shape, stream="images")
    return (u * model.spec.levels).to(torch.uint8)


def all_images(shape: tuple[int, int, int], levels: int) -> Tensor:
    """Every image there is, `(levels^T, C, H, W)`; the last sub-pixel in the order of writing changes fastest."""
    c, h, w = shape
    flat = torch.tensor(list(itertools.product(range(levels), repeat=c * h * w)), dtype=torch.uint8)
    return flat.reshape(-1, h, w, c).permute(0, 3, 1, 2).contiguous()


def places(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """(colour, row, column) in the order of writing."""
    c, h, w = shape
    return [(k, i, j) for i in range(h) for j in range(w) for k in range(c)]


def all_labels(model: PixelCNN, n: int) -> list[Tensor | None]:
    return [None, *(torch.full((n,), y) for y in range(model.spec.classes))]


@NETWORKS
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("space", TINY)
def test_the_probabilities_of_all_images_sum_to_one(space: str, classes: int, gated: bool) -> None:
    shape, levels = TINY[space]
    model, x = random(shape, levels, classes=classes, gated=gated), all_images(shape, levels)
    for labels in all_labels(model, len(x)):
        mass = model.log_prob(x, labels=labels).nats.exp()
        assert float(mass.sum()) == pytest.approx(1.0, abs=1e-10)
        assert float(mass.max()) > 3 / len(x)  # far from uniform


@NETWORKS
def test_in_float32_they_sum_to_one_up_to_rounding(gated: bool) -> None:
    model, x = random((2, 1, 3), 3, classes=2, gated=gated).float(), all_images((2, 1, 3), 3)
    assert model.log_prob(x).nats.dtype == torch.float64
    assert float(model.log_prob(x).nats.exp().sum()) == pytest.approx(1.0, abs=2e-6)


@NETWORKS
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("space", TINY)
def test_logits_are_those_of_the_enumerated_masses(space: str, classes: int, gated: bool) -> None:
    """p(x_t = v | x_<t) is a share of two sums over all images; without a label, of sums over all classes too."""
    shape, levels = TINY[space]
    model, x = random(shape, levels, classes=classes, gated=gated), all_images(shape, levels)
    per_label = [model.log_prob(x, labels=labels).nats.exp() for labels in all_labels(model, len(x))]
    if classes:
        per_label[0] = torch.stack(per_label[1:]).mean(0)
    for labels, mass in zip(all_labels(model, len(x)), per_label, strict=True):
        found = torch.softmax(model.logits(x, labels).double(), dim=1)
        for t, (k, i, j) in enumerate(places(shape)):
            joint = mass.reshape(levels**t, levels, -1).sum(2)  # (what came before, v)
            share = joint / joint.sum(1, keepdim=True)
            expected = share.repeat_interleave(len(x) // levels**t, 0)  # whatever comes at t and later
            torch.testing.assert_close(found[:, :, k, i, j], expected, rtol=0, atol=1e-10)


@NETWORKS
@pytest.mark.parametrize("classes", [0, 2])
def test_log_probs_are_the_terms_of_the_chain_rule_one_by_one(classes: int, gated: bool) -> None:
    model = random((3, 3, 2), 4, classes=classes, gated=gated)
    x = some_images(model, 4)
    for labels in all_labels(model, 4):
        terms, logits = model.log_probs(x, labels), model.logits(x, labels).double().numpy()
        assert terms.dtype == torch.float64
        assert terms.shape == x.shape
        for n in range(4):
            total = 0.0
            for k, i, j in places(model.spec.shape):
                every = logits[n, :, k, i, j]
                slow = every[int(x[n, k, i, j])] - math.log(np.exp(every).sum())
                assert float(terms[n, k, i, j]) == pytest.approx(slow, abs=1e-10)
                total += slow
            assert float(model.log_prob(x, labels=labels).nats[n]) == pytest.approx(total, abs=1e-10)


@NETWORKS
def test_the_marginal_is_the_mean_over_classes(gated: bool) -> None:
    model = random((2, 3, 3), 4, classes=3, gated=gated)
    x = some_images(model, 5)
    by_class = model.log_probs_by_class(x)
    given = [model.log_probs(x, torch.full((5,), y)) for y in range(3)]
    torch.testing.assert_close(by_class, torch.stack(given), rtol=0, atol=1e-12)
    nats = by_class.flatten(2).sum(2)
    assert float((nats[0] - nats[1]).abs().min()) > 1e-3  # the label matters
    marginal = model.log_prob(x).nats
    torch.testing.assert_close(marginal, nats.exp().mean(0).log(), rtol=0, atol=1e-10)
    torch.testing.assert_close(model.log_probs(x).flatten(1).sum(1), marginal, rtol=0, atol=1e-10)


@NETWORKS
def test_each_image_has_its_own_label(gated: bool) -> None:
    model = random((1, 3, 4), 3, classes=4, gated=gated)
    x, labels = some_images(model, 6), torch.tensor([3, 0, 2, 2, 1, 0])
    expected = torch.stack([model.log_probs_by_class(x)[y, n] for n, y in enumerate(labels.tolist())])
    torch.testing.assert_close(model.log_probs(x, labels), expected, rtol=0, atol=1e-12)


@NETWORKS
@pytest.mark.parametrize("classes", [0, 2])
def test_chunks_change_nothing_and_bound_what_passes_at_once(
    classes: int, gated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random((2, 3, 3), 3, classes=classes, gated=gated)
    x = some_images(model, 10)
    results: list[list[Tensor]] = []
    for chunk in (64, 3, 1):
        monkeypatch.setattr(pixelcnn, "CHUNK", chunk)
        passed: list[int] = []
        hook = model.stacks.register_forward_hook(lambda _, given, __, into=passed: into.append(len(given[0])))
        found = [model.log_prob(x, labels=labels).nats for labels in all_labels(model, 10)]
        results.append([*found, model.log_probs_by_class(x)] if classes else found)
        hook.remove()
        assert max(passed) == min(chunk, 10)
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [0, 2])
def test_no_images_have_no_log_prob(classes: int) -> None:
    model = random((2, 3, 3), 3, classes=classes)
    none = some_images(model, 0)
    for labels in all_labels(model, 0):
        assert model.log_prob(none, labels=labels).nats.shape == (0,)
        assert model.logits(none, labels).shape == (0, 3, 2, 3, 3)


@NETWORKS
@pytest.mark.parametrize("layers", [1, 4, 6])  # the fourth is dilated by 4
@pytest.mark.parametrize("colours", [1, 2, 3])
def test_a_changed_sub_pixel_leaves_itself_and_all_before_it_bit_for_bit(colours: int, layers: int, gated: bool) -> None:
    model = random((colours, 6, 5), 3, layers=layers, gated=gated, classes=2)
    order = places(model.spec.shape)
    x = some_images(model, 1).expand(len(order), -1, -1, -1)
    changed = x.clone()
    for t, (k, i, j) in enumerate(order):
        changed[t, k, i, j] = (changed[t, k, i, j] + 1) % 3

    def in_order(logits: Tensor) -> Tensor:
        return logits.permute(0, 3, 4, 2, 1).flatten(1, 3)  # (image, place, level)

    earlier = torch.ones(len(order), len(order), dtype=torch.bool).tril()
    labels = torch.zeros(len(order), dtype=torch.int64)
    before, after = in_order(model.logits(x, labels)), in_order(model.logits(changed, labels))
    same = (before == after).all(2)  # (changed place, place)
    assert same[earlier].all()
    for t in range(len(order) - 1):
        if order[t][1] == order[t + 1][1]:  # in the same row, the next sub-pixel does see it
            assert not same[t, t + 1]
    # Of the marginal over labels, up to the rounding of sums.
    moved = (in_order(model.logits(x)) - in_order(model.logits(changed))).abs().amax(2)
    assert float(moved[earlier].max()) < 1e-12
    assert float(moved[~earlier].max()) > 1e-3


def grid(size: tuple[int, int], steps: list[tuple[int, int]]) -> np.ndarray:
    """Which places `(to, from)` of an image lie one of the steps (rows down, columns right) apart."""
    h, w = size
    found = np.zeros((h * w, h * w), dtype=np.int64)
    for i, j, (down, right) in itertools.product(range(h), range(w), steps):
        if 0 <= i + down < h and 0 <= j + right < w:
            found[i * w + j, (i + down) * w + j + right] = 1
    return found


def seen_pixels(size: tuple[int, int], layers: int, gated: bool) -> np.ndarray:
    """Which pixels `(to, from)` the features of a pixel can depend on: by paths from layer to layer, as the papers draw them.

    First layer: 3 rows above by 7 columns, and 3 to the left. Gated: 2 × 3 and 1 × 2 taps, dilated by 1, 2, 1, 4.
    """
    above = grid(size, [(-down, right) for down in (1, 2, 3) for right in range(-3, 4)])
    left = grid(size, [(0, -1), (0, -2), (0, -3)])
    v, h = above, left | above
    for layer in range(layers):
        if gated:
            d = (1, 2, 1, 4)[layer % 4]
            z = grid(size, [(-down, right) for down in (0, d) for right in (-d, 0, d)]) @ v
            h = h + grid(size, [(0, 0), (0, -d)]) @ h + z
            v = v + z
        else:
            h = h + grid(size, [(0, 0), (0, -1), (-1, -1), (-1, 0), (-1, 1)]) @ h
        v, h = np.minimum(v, 1), np.minimum(h, 1)
    return h > 0


def influence(model: PixelCNN, x: Tensor) -> Tensor:
    """Whether the logits of each place have a gradient on each sub-pixel's vector: bool `(places, places)`, in order."""
    order = places(model.spec.shape)
    embedded = model.embed(x).expand(len(order), -1, -1, -1).detach().clone().requires_grad_()
    labels = torch.zeros(len(order), dtype=torch.int64) if model.spec.classes else None
    hook = model.embed.register_forward_hook(lambda *_: embedded)
    logits = model.logits(x.expand(len(order), -1, -1, -1), labels)  # (places, levels, C, H, W)
    hook.remove()
    weights = Noise(5).normal(1, (model.spec.levels,), stream="direction")[0]
    total = sum((logits[t, :, k, i, j] @ weights for t, (k, i, j) in enumerate(order)), torch.zeros(()).double())
    (gradient,) = torch.autograd.grad(total, embedded)
    return (gradient.unflatten(1, (model.spec.shape[0], -1)) != 0).any(2).permute(0, 2, 3, 1).flatten(1)


@NETWORKS
@pytest.mark.parametrize("layers", [1, 2, 4, 7])
@pytest.mark.parametrize(("colours", "size"), [(1, (6, 9)), (3, (6, 9)), (1, (2, 26)), (2, (15, 3))], ids=str)
def test_gradients_reach_what_the_shapes_of_the_kernels_reach_and_nothing_else(
    colours: int, size: tuple[int, int], layers: int, gated: bool
) -> None:
    pixels = torch.from_numpy(seen_pixels(size, layers, gated))
    expected = pixels.repeat_interleave(colours, 0).repeat_interleave(colours, 1)
    for pixel, later in itertools.product(range(len(pixels)), range(colours)):  # of one pixel, colours before
        first = pixel * colours
        expected[first + later, first : first + later] = True
    found = torch.zeros_like(expected)
    for seed in range(3):  # of a ReLU, half the paths are shut
        model = random((colours, *size), 3, layers=layers, gated=gated, channels=12, seed=seed, classes=2)
        one = influence(model, some_images(model, 1, seed))
        assert not (one & ~expected).any()
        found |= one
    assert not (expected & ~torch.ones_like(expected).tril(-1)).any()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("colours", [1, 2])
def test_a_deep_gated_network_sees_every_earlier_sub_pixel(colours: int) -> None:
    model = random((colours, 5, 9), 3, layers=6)
    assert torch.equal(influence(model, some_images(model, 1)), torch.ones(45 * colours, 45 * colours).tril(-1).bool())


@pytest.mark.parametrize("layers", [2, 12])
def test_the_plain_network_has_a_blind_spot_at_any_depth(layers: int) -> None:
    """Above and to the right: one row up, four columns on. The gated network sees it from its first layer on."""
    size = (4, 9)

    def seen(model: PixelCNN) -> Tensor:
        return influence(model, some_images(model, 1)).unflatten(0, size).unflatten(2, size)

    plain = seen(random((1, *size), 3, layers=layers, gated=False, channels=12))
    gated = seen(random((1, *size), 3, layers=1))
    for i, j in itertools.product(range(1, 4), range(5)):
        assert not plain[i, j, i - 1, j + 4 :].any()
        assert gated[i, j, i - 1, j + 4]
    assert plain[2, 3, 1, 6]


@NETWORKS
@pytest.mark.parametrize("colours", [1, 3])
def test_training_moves_every_weight(colours: int, gated: bool) -> None:
    model = random((colours, 6, 5), 4, gated=gated, classes=2, layers=3).requires_grad_()
    x = some_images(model, 8)
    model.loss(x, torch.tensor([0, 1] * 4)).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 1e-6, name


@NETWORKS
@pytest.mark.parametrize("classes", [0, 2])
def test_the_loss_is_the_surprise_given_the_label(classes: int, gated: bool) -> None:
    model = random((2, 3, 4), 5, classes=classes, gated=gated)
    x, labels = some_images(model, 6), torch.tensor([0, 1, 1, 0, 1, 0])
    nats = -model.log_prob(x, labels=labels if classes else None).nats
    torch.testing.assert_close(model.loss(x, labels).double(), nats, rtol=1e-6, atol=0)
    found = negative_log_likelihood(model, Batch(x, labels, torch.arange(6)), Noise(3))
    assert OBJECTIVES["likelihood"] is negative_log_likelihood
    assert set(found.parts) == {"likelihood"}
    torch.testing.assert_close(found.parts["likelihood"].double(), nats, rtol=1e-6, atol=0)
    assert float(found.total) == pytest.approx(float(nats.mean()), rel=1e-6)


def test_the_loss_of_half_precision_is_summed_in_float32() -> None:
    model = random((1, 12, 12), 256, channels=16).bfloat16()
    x = some_images(model, 3)
    loss, log_p = model.loss(x), torch.log_softmax(model.logits(x).double(), dim=1)
    assert loss.dtype == torch.float32
    slow = [0.0, 0.0, 0.0]
    for n, i, j in itertools.product(range(3), range(12), range(12)):
        slow[n] -= float(log_p[n, int(x[n, 0, i, j]), 0, i, j])
    assert loss.tolist() == pytest.approx(slow, rel=1e-6)


@NETWORKS
def test_dropout_is_for_training_alone(gated: bool) -> None:
    with_it, without = (random((1, 4, 4), 3, gated=gated, dropout=p) for p in (0.5, 0.0))
    without.load_state_dict(with_it.state_dict())
    x = some_images(with_it, 3)
    assert torch.equal(with_it.log_prob(x).nats, without.log_prob(x).nats)
    with_it.train()
    torch.manual_seed(0)
    first, second = with_it.loss(x), with_it.loss(x)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(with_it.loss(x), first)


def test_levels_begin_as_a_cosine_basis() -> None:
    """Orthogonal columns, each with squares that sum to half the levels; near levels have near vectors."""
    table = PixelCNN(levels=64, embedding=16).embed.table.detach().double()[0]  # (levels, size)
    torch.testing.assert_close(table.T @ table, 32 * torch.eye(16).double(), rtol=0, atol=1e-4)
    steps = (table[1:] - table[:-1]).norm(dim=1)
    assert float(steps.max()) < float((table[0] - table[32:]).norm(dim=1).min())


def test_the_log_prob_is_exact_and_draws_nothing() -> None:
    model = random((1, 3, 3), 2)
    x = some_images(model, 4)
    found = model.log_prob(x, method="exact", samples=7, noise=3)
    assert (found.kind, found.method, found.samples, found.measure) == (Density.EXACT, "exact", 1, "mass")
    assert found.standard_error is None
    assert found.nats.dtype == torch.float64
    assert torch.equal(found.nats, model.log_prob(x).nats)


def test_the_spec_says_what_the_model_is() -> None:
    spec = random((3, 4, 5), 16, classes=3).spec
    assert (spec.kind, spec.shape, spec.levels, spec.classes, spec.latent) == ("pixelcnn", (3, 4, 5), 16, 3, 0)
    assert spec.density is Density.EXACT
    assert KINDS[spec.kind] is PixelCNN
    assert Spec.from_json(spec.to_json()) == spec


@NETWORKS
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 3)])
def test_a_stored_model_is_the_one_with_rounded_weights(shape: tuple[int, int, int], gated: bool, tmp_path: Path) -> None:
    model = random(shape, 5, classes=2, gated=gated, dropout=0.1).float()
    model.save_pretrained(tmp_path, storage=torch.bfloat16)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    back = PixelCNN.from_pretrained(tmp_path).eval()
    assert back.spec == model.spec
    rounded = random(shape, 5, classes=2, gated=gated, seed=9).float()
    rounded.load_state_dict({name: tensor.bfloat16().float() for name, tensor in model.state_dict().items()})
    x, labels = some_images(model, 4), torch.tensor([0, 1, 1, 0])
    for given in (None, labels):
        nats = back.log_prob(x, labels=given).nats
        assert torch.equal(nats, rounded.log_prob(x, labels=given).nats)
        assert not torch.equal(nats, model.log_prob(x, labels=given).nats)
    assert torch.equal(back.sample(3, noise=1, labels=labels[:3]), rounded.sample(3, noise=1, labels=labels[:3]))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m, x: m.log_prob(x.float()), r"uint8 \(B, 2, 2, 3\), not torch.float32"),
        (lambda m, x: m.log_prob(x[0]), r"not torch.uint8 \(2, 2, 3\)"),
        (lambda m, x: m.log_prob(x + 4), "Pixel value [4-7] is not within 0 and 3"),
        (lambda m, x: m.logits(x + 4), "Pixel value [4-7] is not within 0 and 3"),
        (lambda m, x: m.log_probs_by_class(x + 4), "Pixel value [4-7] is not within 0 and 3"),
        (lambda m, x: m.log_prob(x, method="elbo"), "'elbo' is not 'exact'"),
        (lambda m, x: m.log_prob(x, labels=torch.zeros(3)), r"int64 \(3,\), not torch.float32 \(3,\)"),
        (lambda m, x: m.log_prob(x, labels=torch.zeros(2).long()), r"int64 \(3,\), not torch.int64 \(2,\)"),
        (lambda m, x: m.logits(x, torch.zeros(3, 1).long()), r"int64 \(3,\), not torch.int64 \(3, 1\)"),
        (lambda m, x: m.log_prob(x, labels=torch.tensor([0, 3, 1])), "Labels 0 to 3 are not within 0 and 2"),
        (lambda m, x: m.logits(x, torch.tensor([0, -1, 1])), "Labels -1 to 1 are not within 0 and 2"),
        (lambda m, x: PixelCNN(levels=1), "1 levels are not within 2 and 256"),
        (lambda m, x: PixelCNN(levels=257), "257 levels are not within 2 and 256"),
        (lambda m, x: PixelCNN(layers=0), "0 layers are too few: at least 1"),
    ],
)
def test_bad_input_gets_a_sentence(call: Callable[[PixelCNN, Tensor], object], sentence: str) -> None:
    model = random((2, 2, 3), 4, classes=3)
    with pytest.raises(ValueError, match=sentence):
        call(model, some_images(model, 3))


@pytest.mark.parametrize("call", ["log_prob", "logits"])
def test_a_model_without_classes_takes_no_labels(call: str) -> None:
    model = random((2, 2, 3), 4)
    x = some_images(model, 3)
    with pytest.raises(ValueError, match="no classes: labels must be None"):
        getattr(model, call)(x, labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="has no classes"):
        model.log_probs_by_class(x)


@pytest.mark.gpu
@NETWORKS
@pytest.mark.parametrize("classes", [0, 3])
def test_log_probs_on_cuda_equal_those_on_the_cpu(classes: int, gated: bool) -> None:
    model = random((3, 8, 7), 16, classes=classes, gated=gated, layers=5)
    x = some_images(model, 5)
    expected = [model.log_probs(x, labels) for labels in all_labels(model, 5)]
    logits = model.logits(x)
    model.cuda()
    for labels, one in zip(all_labels(model, 5), expected, strict=True):
        found = model.log_probs(x.cuda(), None if labels is None else labels.cuda())
        assert found.is_cuda
        torch.testing.assert_close(found.cpu(), one, rtol=0, atol=1e-10)
    torch.testing.assert_close(model.logits(x.cuda()).cpu(), logits, rtol=0, atol=1e-10)
