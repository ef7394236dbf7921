"""The discriminative classifier: it learns labels in the common loop, answers whatever it is shown, and has no p(x)."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from accelerate.state import AcceleratorState

from models.classifier import Classifier
from models.contract import Density, GenerativeModel
from models.data.images import Images
from models.measures.likelihood import chunks
from models.noise import Noise
from models.recipes import RECIPES
from models.scoring import of_classifier
from models.train import Run


@pytest.fixture(scope="module")
def trained(digits: Images) -> Classifier:
    AcceleratorState._reset_state(True)
    recipe = dataclasses.replace(RECIPES["classifier-mnist"], steps=120, batch_size=64, warmup=10, precision="no")
    run = Run(recipe, digits)
    for _ in run.steps():
        pass
    AcceleratorState._reset_state(True)
    model = run.finished()
    assert isinstance(model, Classifier)
    return model.eval()


def test_it_learns_labels_and_its_scores_are_what_they_say(trained: Classifier, digits: Images) -> None:
    found = of_classifier(trained, digits, RECIPES["classifier-mnist"])
    wrong, nats = 0, 0.0
    for first, count in chunks(len(digits), 100):
        logits = trained.logits(digits.pixels[first : first + count])
        labels = digits.labels[first : first + count]
        wrong += int((logits.argmax(1) != labels).sum())
        nats += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum").detach())
    assert found["label_error"] == pytest.approx(wrong / len(digits))
    assert found["cross_entropy"] == pytest.approx(nats / len(digits), rel=1e-4)
    assert found["label_error"] < 0.1


def test_a_nonsense_picture_gets_a_label_too(trained: Classifier) -> None:
    """Labels compete, pictures do not: the probabilities of noise add up to 1 as those of a digit do."""
    noise = (Noise(0).uniform(5, (1, 28, 28), stream="noise") * 256).to(torch.uint8)
    torch.testing.assert_close(trained.log_posterior(noise).exp().sum(1), torch.ones(5, dtype=torch.float64))


def test_grey_values_have_a_gradient_and_integers_the_same_logits(trained: Classifier, digits: Images) -> None:
    x = digits.pixels[:3]
    grey = x.float().requires_grad_(True)
    logits = trained.logits_of(grey)
    torch.testing.assert_close(logits, trained.logits(x))
    logits[:, 0].sum().backward()
    assert grey.grad is not None
    assert float(grey.grad.abs().max()) > 0


def test_it_is_no_generative_model() -> None:
    model = Classifier()
    assert not isinstance(model, GenerativeModel)
    assert not hasattr(model, "log_prob")
    assert model.spec.density is Density.NONE
    with pytest.raises(ValueError, match="Images are uint8"):
        model.logits(torch.zeros(1, 1, 28, 28))


def test_saved_and_loaded_it_says_the_same(trained: Classifier, digits: Images, tmp_path) -> None:
    trained.save_pretrained(tmp_path)
    again = Classifier.from_pretrained(tmp_path).eval()
    found, expected = (one.log_posterior(digits.pixels[:4]) for one in (again, trained))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # weights lie in another order of channels
