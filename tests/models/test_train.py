"""Training: a run that was interrupted ends where an uninterrupted one does, and the command says what is missing.

Everything runs on scikit-learn's digits or a few sprites, with tiny recipes; no file and no network is needed.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from accelerate.state import AcceleratorState

from models import train
from models.contract import Batch, Loss
from models.data import images, sprites
from models.data.images import Images
from models.noise import Noise
from models.objectives import OBJECTIVES
from models.pixelcnn import PixelCNN
from models.recipes import RECIPES, Recipe
from models.train import Run, StateMismatch, learning_rate
from models.zoo import KINDS


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """accelerate keeps one precision and device a process: every test begins without one."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def tiny(network: str = "conv", **changes) -> Recipe:
    settings = {"latent": 2, "network": network, "hidden": 16, "channels": 4}
    recipe = Recipe("tiny", "vae", settings, "digits", steps=10, batch_size=24, warmup=3, precision="no")
    return dataclasses.replace(recipe, **changes)


@pytest.fixture(scope="module")
def few(digits: Images) -> Images:
    """A hundred images: an epoch of four batches of 24."""
    return Images("digits", "train", digits.pixels[:100], digits.labels[:100], digits.classes)


def tiny_pixels(**changes: Any) -> Recipe:
    """A PixelCNN of 6 × 6 pixels with all that training has to offer: dropout, a running average, binarisation at each use."""
    settings = {"shape": (1, 6, 6), "levels": 2, "channels": 4, "layers": 2, "embedding": 2, "hidden": 4, "dropout": 0.3}
    recipe = Recipe("tiny", "pixelcnn", settings, "mnist-binary", steps=10, batch_size=24, warmup=3, precision="no")
    return dataclasses.replace(recipe, **{"objective": "likelihood", "average": 0.9, **changes})


@pytest.fixture(scope="module")
def crops(few: Images) -> Images:
    """The middles of a hundred digits, grey, of which 0s and 1s are drawn at each use."""
    return dataclasses.replace(few, name="mnist-binary", pixels=few.pixels[:, :, 11:17, 11:17].contiguous(), dynamic=True)


@pytest.fixture(scope="module")
def sets(few: Images) -> dict[str, Images]:
    """Of each data set that a recipe names, a few images of its shape and levels."""
    factors = sprites.draw(4, noise=0)
    coloured = images.to_levels(sprites.render(factors), images.SPRITE_LEVELS)
    return {
        "mnist": few,
        "fashion": few,
        "mnist-binary": dataclasses.replace(few, name="mnist-binary", dynamic=True),
        "sprites": Images("sprites", "train", coloured, factors.shape, sprites.SHAPES),
        "sprites-256": Images("sprites-256", "train", sprites.render(factors), factors.shape, sprites.SHAPES),
    }


def go(run: Run, until: int) -> list[train.Step]:
    done = []
    for step in run.steps():
        done.append(step)
        if step.number >= until:
            break
    return done


def tensors(run: Run) -> dict[str, torch.Tensor]:
    """Everything that a later step depends on."""
    found = {f"model.{name}": tensor.clone() for name, tensor in run.model.state_dict().items()}
    for number, slots in run.optimiser.state_dict()["state"].items():
        found |= {f"optimiser.{number}.{name}": tensor.clone() for name, tensor in slots.items()}
    return found | {f"average.{name}": tensor.clone() for name, tensor in run.averaged.items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("network", ["conv", "mlp"])
@pytest.mark.parametrize("cuts", [[1], [4], [5], [2, 3, 8]], ids=str)  # an epoch ends after 4 and after 8
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    precision: str, network: str, cuts: list[int], few: Images, tmp_path: Path
) -> None:
    recipe = tiny(network, precision=precision)
    straight = Run(recipe, few)
    expected_steps = go(straight, recipe.steps)

    steps: list[train.Step] = []
    for cut in [*cuts, recipe.steps]:
        run = Run(recipe, few)
        if steps:
            run.resume(tmp_path / "state.safetensors")
        steps += go(run, cut)
        run.save(tmp_path / "state.safetensors")
    assert [(s.number, s.loss, s.parts) for s in steps] == [(s.number, s.loss, s.parts) for s in expected_steps]
    assert_equal(tensors(run), tensors(straight))
    assert run.done == recipe.steps
    assert len(tensors(run)) > 3 * len(run.model.state_dict())


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(few: Images) -> None:
    weights = []
    for seed in (0, 0, 1):
        run = Run(tiny(seed=seed, steps=3), few)
        go(run, 3)
        weights.append(tensors(run))
    assert_equal(weights[0], weights[1])
    assert not torch.equal(weights[0]["model.decoder.0.weight"], weights[2]["model.decoder.0.weight"])


def test_other_random_numbers_in_the_process_change_nothing(few: Images) -> None:
    plain, disturbed = Run(tiny(steps=4), few), Run(tiny(steps=4), few)
    go(plain, 4)
    for _ in disturbed.steps():
        torch.rand(7)
    assert_equal(tensors(plain), tensors(disturbed))


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own(few: Images, monkeypatch) -> None:
    seen: list[torch.Tensor] = []
    real = OBJECTIVES["elbo"]

    def spying(model, batch, noise, beta):
        assert (batch.total, beta) == (len(few), 1.0)
        assert torch.equal(batch.x, few.pixels[batch.index])
        assert torch.equal(batch.labels, few.labels[batch.index])
        seen.append(batch.index)
        return real(model, batch, noise)

    monkeypatch.setitem(OBJECTIVES, "elbo", spying)
    go(Run(tiny("mlp", steps=8), few), 8)
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert len(first.unique()) == len(second.unique()) == 96  # 100 images, the incomplete last batch left out
    assert not torch.equal(first, second)


def test_fewer_images_than_a_batch_are_one_batch(few: Images) -> None:
    run = Run(tiny("mlp", batch_size=500, steps=2), few)
    assert [step.number for step in run.steps()] == [1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 1e-3},
        {"seed": 4},
        {"steps": 11},
        {"settings": {"latent": 3}},
        {"precision": "bf16"},
        {"batch_size": 8},
    ],
    ids=str,
)
def test_the_state_of_another_recipe_is_refused_in_a_sentence(changes: dict, few: Images, tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    Run(tiny("mlp"), few).save(file)
    AcceleratorState._reset_state(True)
    other = Run(tiny("mlp", **changes), few)
    before = tensors(other)
    with pytest.raises(StateMismatch, match="other settings than tiny has now: remove it to start anew"):
        other.resume(file)
    assert_equal(tensors(other), before)


def test_a_recipe_may_change_how_it_is_scored_and_stored(few: Images, tmp_path: Path) -> None:
    Run(tiny("mlp"), few).save(tmp_path / "state.safetensors")
    Run(tiny("mlp", storage="float32", importance_samples=3), few).resume(tmp_path / "state.safetensors")


def test_a_setting_that_json_turns_into_a_list_is_still_the_same_recipe(few: Images, tmp_path: Path) -> None:
    recipe = tiny(settings={"latent": 2, "shape": (1, 28, 28), "network": "mlp", "hidden": 8})
    Run(recipe, few).save(tmp_path / "state.safetensors")
    Run(recipe, few).resume(tmp_path / "state.safetensors")


@pytest.mark.parametrize("where", ["writing", "moving"])
def test_a_crash_while_saving_leaves_the_former_state(where: str, few: Images, tmp_path: Path, monkeypatch) -> None:
    file, run = tmp_path / "state.safetensors", Run(tiny("mlp"), few)
    go(run, 2)
    run.save(file)
    saved = tensors(run)
    go(run, 5)

    def half(_tensors, to: Path, metadata=None) -> None:
        to.write_bytes(b"half a file")
        raise OSError("no space left on device")

    def unmoved(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if where == "writing":
            patched.setattr(train, "save_file", half)
        else:
            patched.setattr(Path, "replace", unmoved)
        with pytest.raises((OSError, KeyboardInterrupt)):
            run.save(file)
    later = Run(tiny("mlp"), few)
    later.resume(file)
    assert later.done == 2
    assert_equal(tensors(later), saved)


def test_the_learning_rate_warms_up_and_then_falls_by_half_a_cosine() -> None:
    recipe = tiny(steps=1000, warmup=100, learning_rate=2.0)
    assert learning_rate(recipe, 0) == pytest.approx(0.02)
    assert learning_rate(recipe, 49) == pytest.approx(1.0, rel=0.01)
    assert learning_rate(recipe, 500) == pytest.approx(1.0)
    assert learning_rate(recipe, 750) == pytest.approx(1 - math.sqrt(0.5))
    assert learning_rate(recipe, 1000) == pytest.approx(0.0)
    rates = [learning_rate(recipe, step) for step in range(1001)]
    assert max(rates) == pytest.approx(2.0, rel=0.03)
    assert 90 < rates.index(max(rates)) < 110
    assert learning_rate(tiny(warmup=0), 0) == pytest.approx(recipe.learning_rate * 3e-3 / 2.0)


def test_the_optimiser_steps_with_the_learning_rate_of_the_recipe(few: Images) -> None:
    """Adam's first step moves each weight by the learning rate, whatever the gradient."""
    recipe = tiny("mlp", warmup=4, learning_rate=0.008)
    run = Run(recipe, few)
    before = float(run.model.log_scale.detach())
    go(run, 1)
    assert abs(float(run.model.log_scale.detach()) - before) == pytest.approx(0.002, rel=1e-3)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_runs_one_step(name: str, sets: dict[str, Images]) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.kind in KINDS
    assert recipe.data in images.NAMES
    assert recipe.objective in OBJECTIVES
    assert hasattr(torch, recipe.storage)
    data = sets[recipe.data]
    if not recipe.steps:
        closed_form(recipe, data)
        return
    few = {"components": 3} if recipe.kind == "mixture" else {}  # a class has no more than eight pictures here
    small = dataclasses.replace(recipe, settings={**recipe.settings, **few}, batch_size=2 if recipe.kind == "pixelcnn" else 8)
    run = Run(small, data)
    spec = run.model.spec
    assert spec.shape == data.pixels.shape[1:]
    assert spec.levels == (2 if data.dynamic else int(data.pixels.max()) + 1)
    assert spec.classes in (0, len(data.classes))
    before = tensors(run)
    (step,) = go(run, 1)
    assert step.number == 1
    assert math.isfinite(step.loss)
    extra = (recipe.beta - 1) * step.parts.get("total_correlation", step.parts.get("kl", 0))
    beside = {"total_correlation"} | ({"kl"} if recipe.objective == "importance-weighted" else set())
    plain = sum(part for name, part in step.parts.items() if name not in beside)
    assert step.loss == pytest.approx(plain + extra, rel=1e-5)
    if recipe.kind in ("autoencoder", "classifier"):
        assert math.isnan(step.bits_per_dim)  # neither a squared error nor log p(y|x) is a likelihood of pictures
    else:
        assert step.bits_per_dim == pytest.approx(plain / (spec.dims * math.log(2)), rel=1e-5)  # always that of β = 1
    if recipe.kind == "pixelcnn":  # untrained, it knows little more than the number of levels
        assert step.bits_per_dim == pytest.approx(math.log2(spec.levels), rel=0.3)
    for parameter, tensor in run.model.named_parameters():
        assert not torch.equal(before[f"model.{parameter}"], tensor), parameter
    assert bool(run.averaged) == (recipe.average > 0)


def closed_form(recipe: Recipe, data: Images) -> None:
    """It has no step to take: it begins where it ends, at its parameters' closed form."""
    settings = {**recipe.settings, **({"latent": 3} if "latent" in recipe.settings else {})}  # of a hundred pictures
    run = Run(dataclasses.replace(recipe, settings=settings), data)
    assert list(run.steps()) == []
    untrained = KINDS[recipe.kind](**settings).log_prob(data.pixels[:8]).nats.mean()  # type: ignore[operator]
    assert run.finished().log_prob(data.pixels[:8]).nats.mean() > untrained  # type: ignore[operator]


def test_the_loss_falls(digits: Images) -> None:
    steps = go(Run(tiny(steps=80, batch_size=64, warmup=5, learning_rate=5e-3), digits), 80)
    first, last = (sum(step.loss for step in some) / 10 for some in (steps[:10], steps[-10:]))
    assert last < 0.9 * first
    seconds = [step.seconds for step in steps]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


def test_a_loss_that_is_no_number_stops_the_run(few: Images) -> None:
    run = Run(tiny("mlp", steps=3), few)
    with torch.no_grad():
        run.model.log_scale.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="The loss of tiny is nan at step 1"):
        go(run, 3)


def test_a_run_that_diverges_ends_in_one_sentence(tmp_path: Path, monkeypatch) -> None:
    def diverge(*_, **__) -> None:
        raise FloatingPointError("The loss is nan.")

    monkeypatch.setattr(train, "train", diverge)
    monkeypatch.setattr(sys, "argv", ["train", "vae-mnist-2d", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"The loss is nan\."):
        train.main()


def test_missing_data_is_one_sentence_and_no_traceback(tmp_path: Path, monkeypatch) -> None:
    import torchvision.datasets.mnist

    def fail(*_, **__) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", fail)
    argv = ["train", "vae-mnist-2d", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as raised:
        train.main()
    assert "MNIST could not be fetched" in str(raised.value)
    assert "PLAYGROUND_DATA" in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_the_command_refuses_the_state_of_another_recipe_in_a_sentence(few: Images, tmp_path: Path, monkeypatch) -> None:
    Run(tiny("mlp", seed=1), few).save(tmp_path / "state.safetensors")
    monkeypatch.setitem(RECIPES, "tiny", tiny("mlp"))
    monkeypatch.setattr(sys, "argv", ["train", "tiny", "--out", str(tmp_path), "--device", "cpu"])
    with pytest.raises(SystemExit, match="remove it to start anew"):
        train.main()


def test_the_command_lists_the_recipes_there_are(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "vae-nothing"])
    with pytest.raises(SystemExit):
        train.main()
    assert "vae-mnist-2d" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_one_step_on_cuda_lowers_into_the_same_loss(precision: str, few: Images) -> None:
    losses = []
    for device in ("cpu", "cuda"):
        AcceleratorState._reset_state(True)
        run = Run(tiny(precision=precision), few, device=device)
        (step,) = go(run, 1)
        losses.append(step.loss)
        assert run.model.log_scale.device.type == device
    assert losses[1] == pytest.approx(losses[0], rel=1e-4 if precision == "no" else 1e-2)


def test_the_kls_weight_falls_to_one_at_half_the_steps() -> None:
    recipe = dataclasses.replace(RECIPES["vae-mnist-2d"], steps=100, kl_start=9.0)
    weights = [train.kl_weight(recipe, step) for step in range(100)]
    assert weights[0] == 9
    assert weights[25] == pytest.approx(5)
    assert weights[50:] == [1.0] * 50
    assert weights == sorted(weights, reverse=True)
    assert train.kl_weight(RECIPES["vae-mnist-16d"], 0) == 1


def test_ctrl_c_saves_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the minute's saving has not reached yet is not lost."""
    steps = Run.steps

    def interrupted(run: Run) -> Iterator[train.Step]:
        for step in steps(run):
            yield step
            if step.number == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(Run, "steps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.train(tiny(), data=None, out=tmp_path, device="cpu", quiet=True)
    again = Run(tiny(), images.load("digits", "train"))
    again.resume(tmp_path / "state.safetensors")
    assert again.done == 3


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "plain"])
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("cuts", [[1], [4], [2, 3, 8]], ids=str)  # an epoch ends after 4 and after 8
def test_a_resumed_run_with_an_average_and_dropout_ends_where_an_uninterrupted_one_does(
    cuts: list[int], precision: str, gated: bool, crops: Images, tmp_path: Path
) -> None:
    recipe = tiny_pixels(precision=precision)
    recipe = dataclasses.replace(recipe, settings={**recipe.settings, "gated": gated})
    straight = Run(recipe, crops)
    expected_steps = go(straight, recipe.steps)

    steps: list[train.Step] = []
    for cut in [*cuts, recipe.steps]:
        run = Run(recipe, crops)
        if steps:
            run.resume(tmp_path / "state.safetensors")
        torch.rand(cut)  # other random numbers in the process change nothing
        steps += go(run, cut)
        run.save(tmp_path / "state.safetensors")
    assert [(s.number, s.loss, s.parts) for s in steps] == [(s.number, s.loss, s.parts) for s in expected_steps]
    assert_equal(tensors(run), tensors(straight))
    assert_equal(run.finished().state_dict(), straight.finished().state_dict())
    assert sum(name.startswith("average.") for name in tensors(run)) == len(list(run.model.parameters()))


def test_dropout_belongs_to_the_seed_and_the_step(crops: Images) -> None:
    """What torch's own generator gives in a step: other numbers at each step, the same whatever happened in between."""
    drawn: dict[int, list[torch.Tensor]] = {}
    for run_number, seed in enumerate((0, 0, 1)):
        recipe = tiny_pixels(steps=3, seed=seed)
        run = Run(recipe, crops)
        layer = run.model.get_submodule("stacks.dropout")
        masks: list[torch.Tensor] = []
        layer.register_forward_hook(lambda _, x, y, into=masks: into.append((y == 0) & (x[0] != 0)))
        for _ in run.steps():
            torch.rand(5 * run_number)
        per_step = len(masks) // 3
        drawn[run_number] = [torch.stack(masks[i * per_step : (i + 1) * per_step]) for i in range(3)]
    assert 0.2 < float(drawn[0][0].double().mean()) < 0.4
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))
    assert not torch.equal(drawn[0][0], drawn[0][1])


@pytest.mark.parametrize("average", [0.3, 0.95])  # 0.3 is reached after three steps
def test_the_average_is_that_of_its_slow_twin(average: float, crops: Images) -> None:
    run = Run(tiny_pixels(steps=8, average=average, learning_rate=0.05, warmup=0), crops)
    slow = {name: parameter.detach().double().clone() for name, parameter in run.model.named_parameters()}
    for step in run.steps():
        keep = min(average, step.number / (step.number + 9))
        for name, parameter in run.model.named_parameters():
            slow[name] = keep * slow[name] + (1 - keep) * parameter.detach().double()
            torch.testing.assert_close(run.averaged[name].double(), slow[name], rtol=1e-5, atol=1e-6)
    for name, parameter in run.model.named_parameters():
        assert float((slow[name] - parameter.detach()).abs().max()) > 1e-4, name


def test_what_is_finished_holds_the_average_and_not_the_last_weights(crops: Images) -> None:
    run, twin = (Run(tiny_pixels(steps=6, average=average, learning_rate=0.05), crops) for average in (0.9, 0.0))
    go(run, 4)
    finished = run.finished()
    assert type(finished) is KINDS["pixelcnn"]
    weights = finished.state_dict()
    assert weights.keys() == run.model.state_dict().keys() == run.averaged.keys()
    assert_equal(weights, run.averaged)
    for name, tensor in run.model.state_dict().items():
        assert not torch.equal(tensor, weights[name]), name
    # It is a copy: training goes on as it would have, and leaves it alone.
    kept = {name: tensor.clone() for name, tensor in weights.items()}
    go(run, 6)
    assert_equal(finished.state_dict(), kept)
    with torch.no_grad():
        for parameter in finished.parameters():
            parameter.zero_()
    # The average takes no part in training; without one, the last weights are kept.
    go(twin, 6)
    assert twin.averaged == {}
    assert_equal(dict(twin.model.state_dict()), dict(run.model.state_dict()))
    assert_equal(twin.finished().state_dict(), twin.model.state_dict())


def test_a_state_with_another_average_is_refused(crops: Images, tmp_path: Path) -> None:
    Run(tiny_pixels(), crops).save(tmp_path / "state.safetensors")
    for changes in ({"average": 0.0}, {"average": 0.99}):
        with pytest.raises(StateMismatch, match="other settings than tiny has now"):
            Run(tiny_pixels(**changes), crops).resume(tmp_path / "state.safetensors")


def test_each_step_sees_its_own_binarisation(crops: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    real = OBJECTIVES["likelihood"]

    def spying(model: PixelCNN, batch: Batch, noise: Noise) -> Loss:
        assert noise == Noise(5, step=len(seen))
        assert torch.equal(batch.x, images.binarise(crops.pixels[batch.index], batch.index, noise))
        assert torch.equal(batch.labels, crops.labels[batch.index])
        seen.append((batch.index, batch.x))
        return real(model, batch, noise)

    monkeypatch.setitem(OBJECTIVES, "likelihood", spying)
    go(Run(tiny_pixels(steps=8, seed=5), crops), 8)
    first, second = (torch.cat([index for index, _ in some]) for some in (seen[:4], seen[4:]))
    x, again = (torch.cat([x for _, x in some]) for some in (seen[:4], seen[4:]))
    both = sorted(set(first.tolist()) & set(second.tolist()))
    assert len(both) > 90
    one, two = (torch.stack([part[index.tolist().index(n)] for n in both]) for index, part in ((first, x), (second, again)))
    assert set(one.unique().tolist()) == {0, 1}
    grey = (crops.pixels[both] > 0) & (crops.pixels[both] < 255)
    assert 0.02 < float((one != two)[grey].double().mean()) < 0.5
    assert torch.equal(one[~grey], two[~grey])


def test_a_pixelcnn_learns(crops: Images) -> None:
    recipe = tiny_pixels(steps=60, learning_rate=0.03, batch_size=50)
    recipe = dataclasses.replace(recipe, settings={**recipe.settings, "dropout": 0.0, "channels": 8})
    run = Run(recipe, crops)
    steps = go(run, 60)
    first, last = (sum(step.loss for step in some) / 10 for some in (steps[:10], steps[-10:]))
    assert last < 0.85 * first
    # The average scores at least about as well as the last weights, on numbers that neither has seen.
    x = images.binarise(crops.pixels, torch.arange(100), Noise(77))
    nats = {}
    with torch.inference_mode():
        for name, model in (("kept", run.finished()), ("last", run.model)):
            nats[name] = float(model.eval().log_prob(x).nats.mean())
    assert nats["kept"] > nats["last"] - 0.5
    assert nats["kept"] > -0.9 * first


@pytest.mark.gpu
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "plain"])
def test_one_step_of_a_pixelcnn_on_cuda_lowers_into_the_same_loss(gated: bool, crops: Images, tmp_path: Path) -> None:
    recipe = tiny_pixels()
    recipe = dataclasses.replace(recipe, settings={**recipe.settings, "gated": gated, "dropout": 0.0})
    losses = []
    for device in ("cpu", "cuda"):
        AcceleratorState._reset_state(True)
        run = Run(recipe, crops, device=device)
        losses.append([step.loss for step in go(run, 2)])
        assert {tensor.device.type for tensor in run.averaged.values()} == {device}
        run.save(tmp_path / "state.safetensors")
        again = Run(recipe, crops, device=device)
        again.resume(tmp_path / "state.safetensors")
        assert_equal(tensors(again), tensors(run))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
