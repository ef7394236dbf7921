"""What the README says: the Space's front matter, the example code, and the figures of the checkpoints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from models import zoo
from models.contract import Density, GenerativeModel

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_front_matter_is_a_valid_space() -> None:
    front = yaml.safe_load(README.split("---")[1])
    pinned = dict(line.split("==") for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line)
    assert front["sdk"] == "gradio"
    assert front["sdk_version"] == pinned["gradio"]
    assert tuple(map(int, front["python_version"].split("."))) >= (3, 11)
    assert (ROOT / front["app_file"]).is_file()
    assert front["license"] == "mit"
    assert "MIT License" in (ROOT / "LICENSE").read_text()
    assert 0 < len(front["short_description"]) <= 60
    assert front["tags"]
    assert {front["colorFrom"], front["colorTo"]} <= {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def test_the_example_of_use_runs() -> None:
    found: dict = {}
    exec(blocks()[0], found)
    assert found["images"].shape == (16, 1, 28, 28)


def test_the_example_of_a_pixelcnn_runs(capsys: pytest.CaptureFixture[str]) -> None:
    found: dict = {}
    exec(blocks()[1], found)
    value, log_p, largest = (float(word) for word in capsys.readouterr().out.splitlines()[0].split())
    assert int(found["image"][0, 0, 10, 13]) == value
    assert log_p <= 0 < largest <= 1
    assert torch.isfinite(found["model"].log_prob(found["image"]).nats).all()


def test_the_example_of_points_runs(capsys: pytest.CaptureFixture[str]) -> None:
    found: dict = {}
    exec(blocks()[2], found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 E ")
    assert lines[-1].split()[1] == "M"
    assert found["step"].converged


def test_the_worked_example_of_a_model_keeps_the_contract(tmp_path: Path) -> None:
    found: dict = {}
    exec(blocks()[3], found)
    kind: type[GenerativeModel] = found["PixelFrequencies"]
    model = kind(shape=(1, 1, 3), levels=4)
    with torch.no_grad():
        model.probability.copy_(torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.25] * 4, [1.0, 0.0, 0.0, 0.0]]))
    everything = torch.cartesian_prod(*[torch.arange(4)] * 3).to(torch.uint8).reshape(64, 1, 1, 3)
    said = model.log_prob(everything)
    assert said.kind is Density.EXACT
    assert abs(float(said.nats.exp().sum()) - 1) < 1e-6
    assert torch.equal(model.sample(16, noise=3)[:8], model.sample(8, noise=3))
    drawn = model.sample(20_000, noise=1)[:, 0, 0, 0]
    assert abs(float((drawn == 3).double().mean()) - 0.4) < 0.02
    model.save_pretrained(tmp_path)
    assert torch.equal(kind.from_pretrained(tmp_path).probability, model.probability)


def test_the_table_of_checkpoints_tells_their_recorded_scores() -> None:
    for card in zoo.cards():
        scores = card.scores["scores"]
        row = next(line for line in README.splitlines() if line.startswith(f"| `{card.name}`"))
        if card.spec.kind == "pixelcnn":
            assert f"{scores['exact']['nats']:.1f}".replace("-", "−") in row
            assert f"{scores['exact']['bits_per_dim']:.3f}" in row
            if card.spec.classes:
                assert f"{scores['given_label']['bits_per_dim']:.3f}" in row
            continue
        if card.spec.kind in ("gaussian", "ppca", "mixture"):
            score = next(scores[key] for key in ("exact", "bound", "importance_of_all") if key in scores)
            assert f"{score['nats']:.1f}".replace("-", "−") in row
            assert f"{score['bits_per_dim']:.3f}" in row
            assert score["kind"].split()[-1] in row
            continue
        if card.spec.kind == "classifier":
            assert f"{100 * card.scores['label_error']:.2f} %" in row
            assert f"{card.scores['cross_entropy']:.4f}" in row
            continue
        if card.spec.kind == "autoencoder":
            assert f"{card.scores['root_mean_squared_error']:.2f}" in row
            continue
        if "disentanglement" in card.scores:
            found = card.scores["disentanglement"]
            assert f"{found['mig_without']:.2f} ({found['mig']:.2f})" in row
        assert f"{scores['elbo']['nats']:.1f}".replace("-", "−") in row
        assert f"{scores['elbo']['bits_per_dim']:.3f}" in row
        assert f"{scores['importance']['bits_per_dim']:.3f}" in row


def test_the_pictures_of_the_readme_are_there() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert len(pictures) == 6
    assert all((ROOT / picture).is_file() for picture in pictures)
