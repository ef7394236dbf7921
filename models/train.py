"""One loop for every recipe: a generator of steps.

    python -m models.train RECIPE [--data FOLDER] [--out FOLDER] [--device cpu|cuda|auto] [--max-steps N]

Nothing in the loop remembers anything but the weights, the optimiser's moments and the number of the step: the order of the
images and all noise are functions of the seed and the step (`models.noise`). A run that was interrupted therefore ends, bit for
bit, where an uninterrupted one does. Device and precision go through Hugging Face accelerate. What a finished run writes is
`models.publish`'s.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from models.contract import Batch, BeginsFromData, Noise, PictureModel
from models.data import images
from models.data.images import Images
from models.measures.likelihood import bits_per_dim
from models.objectives import objective
from models.recipes import RECIPES, Recipe
from models.zoo import KINDS

SAVE_EVERY = 60.0  # seconds between saved states


@dataclass(frozen=True)
class Step:
    """One step done. Numbers are means over its batch."""

    number: int  # 1 to the recipe's steps
    loss: float  # what is descended, an image
    parts: Mapping[str, float]  # unweighted, an image
    bits_per_dim: float  # of −log p(x), or of its bound with β = 1; not a number where the loss says nothing of it
    seconds: float  # spent training so far, earlier sittings included


class StateMismatch(RuntimeError):
    """A saved state belongs to another recipe."""


class Run:
    """A recipe on its way: model, optimiser and the number of steps done."""

    def __init__(self, recipe: Recipe, data: Images, *, device: str = "cpu") -> None:
        self.recipe, self.data = recipe, data
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=recipe.precision)
        torch.manual_seed(recipe.seed)  # for the initial weights alone
        model = KINDS[recipe.kind](**recipe.settings).to(memory_format=torch.channels_last)
        if isinstance(model, BeginsFromData):
            model.begin(data.pixels, data.labels, noise=recipe.seed)
        optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
        self.model: PictureModel
        self.model, self.optimiser = self.accelerator.prepare(model, optimiser)
        self.averaged = {name: tensor.clone() for name, tensor in self._weights().items()} if recipe.average else {}
        self.done, self.seconds = 0, 0.0
        device_ = self.accelerator.device
        self._pixels, self._labels = data.pixels.to(device_), data.labels.to(device_)

    def steps(self) -> Iterator[Step]:
        """The steps from here to the recipe's end. The caller may stop at any of them, save, and go on later."""
        lowered, noise = objective(self.recipe.objective, self.recipe.beta, self.recipe.draws), Noise(self.recipe.seed)
        self.model.train()
        order, ordered_epoch = torch.empty(0, dtype=torch.int64), -1
        per_epoch = max(1, len(self.data) // self.recipe.batch_size)  # the incomplete last batch is left out
        while self.done < self.recipe.steps:
            began = time.perf_counter()
            epoch, place = divmod(self.done, per_epoch)
            if epoch != ordered_epoch:
                order, ordered_epoch = noise.at(epoch).permutation(len(self.data), stream="order"), epoch
            index = order[place * self.recipe.batch_size : (place + 1) * self.recipe.batch_size]
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(self.recipe, self.done)
            self.optimiser.zero_grad()
            with self.accelerator.autocast():
                x = self._seen(index, noise.at(self.done))
                torch.manual_seed(_step_seed(self.recipe.seed, self.done))  # dropout's, and nothing else's
                loss = lowered(self.model, Batch(x, self._labels[index], index, len(self.data)), noise.at(self.done))
            extra = kl_weight(self.recipe, self.done) - 1
            self.accelerator.backward(loss.total + extra * loss.parts["kl"].mean() if extra else loss.total)
            if self.recipe.clip is not None:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
            self.optimiser.step()
            self.done += 1
            self._average()
            total = float(loss.total.detach())
            if not math.isfinite(total):
                remedy = "a lower learning rate or a clipped gradient would help"
                raise FloatingPointError(f"The loss of {self.recipe.name} is {total} at step {self.done}: {remedy}.")
            parts = {name: float(part.detach().mean()) for name, part in loss.parts.items()}
            bits = math.nan if loss.nats is None else float(bits_per_dim(-loss.nats.detach(), self.model.spec.dims))
            self.seconds += time.perf_counter() - began
            yield Step(self.done, total, parts, bits, self.seconds)

    def _seen(self, index: torch.Tensor, noise: Noise) -> torch.Tensor:
        """What a step sees of the images number `index`."""
        x = self.data.used(self._pixels[index], index, noise)
        return images.mutate(x, self.model.spec.levels, self.recipe.mutation, index, noise) if self.recipe.mutation else x

    def finished(self) -> PictureModel:
        """A copy of the model as it is to be kept: with the running average of its weights, where the recipe asks for one."""
        model = copy.deepcopy(self.accelerator.unwrap_model(self.model))
        model.load_state_dict(self.averaged, strict=False)
        return model

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    def _average(self) -> None:
        """An exponential average of the weights (Polyak and Juditsky 1992), young at first so that the start is forgotten."""
        if self.averaged:
            keep = min(self.recipe.average, self.done / (self.done + 9))
            torch._foreach_lerp_(list(self.averaged.values()), list(self._weights().values()), 1 - keep)

    def save(self, file: Path) -> None:
        """The whole state as one safetensors file, put in place in one move."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in slots.items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.averaged.items()}
        about = {"recipe": json.dumps(_identity(self.recipe)), "done": str(self.done), "seconds": str(self.seconds)}
        partial = file.with_suffix(".partial")
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, partial, metadata=about)
        partial.replace(file)

    def resume(self, file: Path) -> None:
        """Goes on from a saved state. Raises StateMismatch if it belongs to another recipe."""
        from safetensors import safe_open

        with safe_open(file, framework="pt") as opened:
            about = opened.metadata()
        if _defaults() | json.loads(about["recipe"]) != _identity(self.recipe):
            raise StateMismatch(
                f"{file} holds a run of other settings than {self.recipe.name} has now: remove it to start anew."
            )
        tensors = load_file(file)
        self.model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, number, slot = name.split(".")
                state.setdefault(int(number), {})[slot] = tensor
        for name, tensor in self.averaged.items():
            tensor.copy_(tensors[f"average.{name}"])
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.done, self.seconds = int(about["done"]), float(about["seconds"])


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear from 0 over the warm-up, then half a cosine down to 0 at the recipe's last step."""
    return (
        recipe.learning_rate
        * min(1.0, (step + 1) / max(1, recipe.warmup))
        * 0.5
        * (1 + math.cos(math.pi * step / recipe.steps))
    )


def _step_seed(seed: int, step: int) -> int:
    """A seed of torch's own generator for each step: what an interrupted run draws does not depend on the interruption."""
    return int(Noise(seed, step).uniform(1, stream="dropout")[0] * 2**53)


def kl_weight(recipe: Recipe, step: int) -> float:
    """The weight of the KL in what is descended: from the recipe's `kl_start` in a line to 1 at half its steps, then 1.

    A heavy KL at first keeps the early codes near the prior; codes that have once strayed come back slowly, since the KL is a
    hundredth of the loss. Recorded losses and scores are always those of weight 1.
    """
    return 1 + (recipe.kl_start - 1) * max(0.0, 1 - step / (recipe.steps / 2))


_SCORING = ("storage", "elbo_samples", "importance_samples", "importance_images")  # settings that shape no weight


def _identity(recipe: Recipe) -> dict[str, object]:
    """What must agree for a saved state to be this recipe's: everything that shapes the weights."""
    kept = {key: value for key, value in asdict(recipe).items() if key not in _SCORING}
    return json.loads(json.dumps(kept))  # as it stands in a file: a tuple is a list there


def _defaults() -> dict[str, object]:
    """What a recipe is where it says nothing: a state that was saved before a setting came to be does not name it."""
    return {
        field.name: field.default for field in fields(Recipe) if field.default is not MISSING and field.name not in _SCORING
    }


def train(
    recipe: Recipe, *, data: Path | None, out: Path, device: str = "auto", max_steps: int | None = None, quiet: bool = False
) -> Path:
    """Follows a recipe to its end (or `max_steps` steps in all), resuming what `out` holds, and writes the checkpoint there."""
    from models.publish import publish

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Run(recipe, images.load(recipe.data, "train", data, download=True), device=device)
    out.mkdir(parents=True, exist_ok=True)
    state = out / "state.safetensors"
    if state.is_file():
        run.resume(state)
    last = min(recipe.steps, max_steps if max_steps is not None else recipe.steps)
    with tqdm(total=last, initial=min(run.done, last), desc=recipe.name, unit="step", disable=quiet) as bar:
        saved = time.monotonic()
        steps = run.steps() if run.done < last else iter(())
        try:
            for step in steps:
                bar.set_postfix({"loss": f"{step.loss:.1f}", "bits/dim": f"{step.bits_per_dim:.3f}"}, refresh=False)
                bar.update()
                if time.monotonic() - saved > SAVE_EVERY:
                    run.save(state)
                    saved = time.monotonic()
                if step.number >= last:
                    break
        except KeyboardInterrupt:
            run.save(state)
            raise
    run.save(state)
    publish(run, out, data_folder=data)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train", description="Train a checkpoint from its recipe.")
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument(
        "--data", type=Path, default=None, help="folder of the data sets (default: PLAYGROUND_DATA, else data/)"
    )
    parser.add_argument("--out", type=Path, default=None, help="where to write (default: runs/RECIPE)")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--max-steps", type=int, default=None, help="stop after so many steps in all; a later run goes on")
    options = parser.parse_args()
    try:
        out = train(
            RECIPES[options.recipe],
            data=options.data,
            out=options.out or Path("runs") / options.recipe,
            device=options.device,
            max_steps=options.max_steps,
        )
    except (images.DataMissing, StateMismatch, FloatingPointError) as error:
        raise SystemExit(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit("Stopped, and saved: the same command goes on from here.") from None
    print(f"Written to {out}. To ship it: copy everything but state.safetensors to checkpoints/{options.recipe}.")


if __name__ == "__main__":
    main()
