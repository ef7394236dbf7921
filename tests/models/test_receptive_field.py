"""What a pixel sees: against gradients, against pixels that are changed, and against closed forms of both networks."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor

from models import pixelcnn
from models.noise import Noise
from models.pixelcnn import DILATIONS, REACH, PixelCNN
from models.receptive_field import all_seen, blind_spot, seen


def random_model(
    shape: tuple[int, int, int], *, layers: int, gated: bool, seed: int = 0, classes: int = 0, levels: int = 4
) -> PixelCNN:
    """Every parameter normal, of a size at which signals neither die nor saturate."""
    model = PixelCNN(
        shape, levels=levels, channels=6, layers=layers, classes=classes, gated=gated, embedding=2, hidden=3
    ).double()
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            fan_in = max(1, parameter[0].numel()) if parameter.dim() == 4 else 1
            parameter.copy_(Noise(seed, i).normal(1, parameter.shape, stream="weights")[0] / fan_in**0.5)
    return model.eval()


def gradient_map(model: PixelCNN) -> Tensor:
    """For each place, the pixels whose embedding its features have a gradient with respect to: bool `(H·W, H, W)`."""
    c, h, w = model.spec.shape
    one = (Noise(1).uniform(1, (c, h, w), stream="image") * model.spec.levels).to(torch.uint8)
    embedded = model.embed(one).detach().repeat(h * w, 1, 1, 1).requires_grad_()  # a copy for each place
    features = model.stacks(embedded, model.stacks.shared(embedded), None)
    direction = Noise(2).normal(1, (features.shape[1],), stream="direction")[0]
    of_places = (features * direction[:, None, None]).sum(1).flatten(1).diagonal()  # copy i at place i
    of_places.sum().backward()
    assert embedded.grad is not None
    return (embedded.grad != 0).any(1)


def rectangle(h: int, w: int, row: int, column: int, n: int, right: int | None = None) -> Tensor:
    """n rows above with n columns to the left, and as many to the right, or r + `right` at r rows above; n to the left."""
    view = torch.zeros(h, w, dtype=torch.bool)
    for i in range(max(0, row - n), row + 1):
        for j in range(max(0, column - n), min(w, column + n + 1)):
            up, along = row - i, j - column
            view[i, j] = along < 0 if up == 0 else right is None or along <= up + right
    return view


def reach(layers: int) -> int:
    return REACH + sum(DILATIONS[i % len(DILATIONS)] for i in range(layers))


@pytest.mark.parametrize(
    ("shape", "layers"),
    [((1, 9, 9), 1), ((1, 11, 8), 1), ((1, 8, 13), 2), ((3, 9, 9), 3), ((1, 17, 15), 4), ((1, 5, 1), 2), ((2, 1, 6), 2)],
)
def test_the_gated_map_is_where_gradients_are(shape: tuple[int, int, int], layers: int) -> None:
    model = random_model(shape, layers=layers, gated=True)
    assert torch.equal(all_seen(model), gradient_map(model))


@pytest.mark.parametrize(
    ("shape", "layers"), [((1, 9, 9), 1), ((1, 9, 12), 1), ((1, 12, 11), 3), ((3, 8, 8), 2), ((1, 5, 1), 2), ((2, 1, 6), 2)]
)
def test_the_plain_map_is_where_gradients_of_some_weights_are(shape: tuple[int, int, int], layers: int) -> None:
    # A ReLU that is shut hides what lies behind it, so one network may show less.
    maps = [gradient_map(random_model(shape, layers=layers, gated=False, seed=seed)) for seed in range(12)]
    assert torch.equal(all_seen(random_model(shape, layers=layers, gated=False)), torch.stack(maps).any(0))


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("colours", [1, 3])
def test_changing_a_seen_pixel_changes_the_distribution_and_no_other_does(gated: bool, colours: int) -> None:
    h, w = 8, 9
    changed = torch.zeros(h * w, h, w, dtype=torch.bool)  # by place, then by the pixel that was changed
    for seed in range(1 if gated else 12):
        model = random_model((colours, h, w), layers=2, gated=gated, classes=2, seed=seed)
        image = (Noise(seed).uniform(1, (colours, h, w), stream="image") * 4).to(torch.uint8)
        for colour in range(colours):
            others = image.repeat(h * w, 1, 1, 1)
            others[torch.arange(h * w), colour, torch.arange(h * w) // w, torch.arange(h * w) % w] ^= 1
            labels = torch.ones(h * w, dtype=torch.int64)
            with torch.no_grad():
                difference = (model.logits(others, labels) - model.logits(image, labels[:1])).abs().amax((1, 2))
            difference = difference.flatten(1)  # pixel that was changed, place
            difference.fill_diagonal_(0)  # a pixel's own earlier colours are no part of the map
            changed |= (difference > 1e-13).T.reshape(h * w, h, w)
    assert torch.equal(all_seen(model), changed)


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5, 6, 12])
def test_a_gated_pixel_sees_a_full_rectangle_and_has_no_blind_spot_anywhere(layers: int) -> None:
    h, w = 23, 20
    model = random_model((1, h, w), layers=layers, gated=True)
    views = all_seen(model)
    for row, column in [(r, c) for r in range(h) for c in range(w)]:
        assert torch.equal(views[row * w + column], rectangle(h, w, row, column, reach(layers)))
    for row, column in [(0, 0), (0, w - 1), (1, 0), (3, 4), (11, 10), (11, w - 1), (h - 1, 0), (h - 1, w - 1)]:
        assert not blind_spot(model, row, column).any()


@pytest.mark.parametrize("layers", [1, 3, 6])
def test_a_plain_pixel_sees_one_more_column_to_the_right_with_each_row(layers: int) -> None:
    h, w = 17, 19
    model = random_model((1, h, w), layers=layers, gated=False)
    views, n = all_seen(model), REACH + layers
    for row, column in [(r, c) for r in range(h) for c in range(w)]:
        view = rectangle(h, w, row, column, n, right=REACH - 1)
        assert torch.equal(views[row * w + column], view)
        if row % 4 == 0 and column % 3 == 0:
            # Columns that nothing sees, at the right of a view that has no rows for them, are no blind spot.
            columns = view.any(0).nonzero()
            within = rectangle(h, w, row, column, n) & (torch.arange(w) <= (int(columns.max()) if len(columns) else -1))
            assert torch.equal(blind_spot(model, row, column), within & ~view)


def test_the_blind_spot_of_the_plain_network_by_hand() -> None:
    model = random_model((1, 11, 13), layers=2, gated=False)
    blind = torch.zeros(11, 13, dtype=torch.bool)
    blind[7, [10, 11]] = True  # one above: seen up to 3 to the right, while 5 are seen from three above on
    blind[6, 11] = True
    assert torch.equal(blind_spot(model, 8, 6), blind)


def test_the_blind_spot_of_the_plain_network_stays_at_any_depth() -> None:
    deep = random_model((1, 12, 12), layers=30, gated=False)
    assert blind_spot(deep, 8, 2)[7, 6:].all()
    assert not blind_spot(deep, 8, 2)[7, :6].any()


def test_dilations_that_leave_gaps_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixelcnn, "DILATIONS", (4,))
    model = random_model((1, 10, 12), layers=1, gated=True)
    assert torch.equal(all_seen(model), gradient_map(model))
    blind = blind_spot(model, 8, 6)
    assert blind[4].all()  # three rows, four further up three more: the one between is missed
    assert blind.sum() == 12 + 1  # and so is the fourth pixel to the left
    assert blind[8, 2]


def test_the_maps_follow_kernels_dilations_and_paddings_of_the_modules() -> None:
    model = random_model((1, 9, 10), layers=2, gated=True)
    layer = model.stacks.layers[0]
    layer.above = pixelcnn.Above(6, 12, 2, 5, dilation=2, strict=True).double()
    layer.left = pixelcnn.Left(6, 12, 3, dilation=2, strict=True).double()  # strict: the place in hand only by the shortcut
    model.stacks.left = pixelcnn.Left(2, 6, 1, strict=True).double()
    assert torch.equal(all_seen(model), gradient_map(model))


def test_a_shortcut_past_a_plain_block_is_followed() -> None:
    maps = []
    for seed in range(12):
        model = random_model((1, 8, 9), layers=1, gated=False, seed=seed)
        model.stacks.layers[0].left = pixelcnn.Left(3, 3, 1, strict=True).double()
        model.stacks.left = pixelcnn.Left(2, 6, 1, strict=True).double()
        maps.append(gradient_map(model))
    assert torch.equal(all_seen(model), torch.stack(maps).any(0))


@pytest.mark.parametrize("gated", [True, False])
def test_one_place_is_the_same_as_its_map_among_all(gated: bool) -> None:
    model = random_model((1, 6, 7), layers=2, gated=gated)
    each = [seen(model, row, column) for row in range(6) for column in range(7)]
    assert torch.equal(torch.stack(each), all_seen(model))


def test_the_first_pixel_sees_nothing_and_misses_nothing() -> None:
    for gated in (True, False):
        model = random_model((1, 6, 7), layers=2, gated=gated)
        assert not seen(model, 0, 0).any()
        assert not blind_spot(model, 0, 0).any()


@pytest.mark.parametrize(("row", "column"), [(-1, 0), (0, -1), (6, 0), (0, 7)])
def test_a_place_outside_the_image_is_refused(row: int, column: int) -> None:
    model = random_model((1, 6, 7), layers=1, gated=True)
    for function in (seen, blind_spot):
        with pytest.raises(ValueError, match=r"not within \(0, 0\) and \(5, 6\)"):
            function(model, row, column)


@pytest.mark.parametrize("gated", [True, False])
def test_all_places_of_a_deep_network_take_well_under_a_second(gated: bool) -> None:
    model = PixelCNN((1, 28, 28), levels=2, channels=2, layers=12, gated=gated, embedding=1, hidden=1)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        all_seen(model)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5  # measured: 0.02 s on one core
