"""The page's own promises: its code does what it says."""

from __future__ import annotations

import pytest
import torch

from models import zoo
from models.measures.latent_map import quantile_grid
from playground import text
from playground.pages import vae
from playground.pages.vae import VaeSettings


@pytest.mark.parametrize(
    "settings",
    [
        VaeSettings(),
        VaeSettings(data="fashion", seed=99, n=4, spread=0.5, show="draw"),
        VaeSettings(latent=16, seed=2**40, n=8, show="draw"),
    ],
)
def test_the_code_for_samples_gives_the_samples(settings: VaeSettings) -> None:
    found: dict = {}
    exec(vae.code(settings)["sample"], found)
    model = zoo.load(f"vae-{settings.data}-{settings.latent}d")
    if settings.show == "draw":
        expected = model.sample(settings.n, noise=settings.seed, temperature=settings.spread)
    else:
        expected = model.decode(model.prior(settings.n, noise=settings.seed, temperature=settings.spread))
    assert torch.equal(found["images"], expected)


@pytest.mark.parametrize("settings", [VaeSettings(side=6), VaeSettings(latent=16, side=6, across=3, down=9)])
def test_the_code_for_the_manifold_gives_the_manifold(settings: VaeSettings) -> None:
    found: dict = {}
    exec(vae.code(settings)["manifold"], found)
    z = torch.zeros(36, settings.latent, dtype=torch.float64)
    z[:, [settings.across, settings.down]] = quantile_grid(6)
    assert torch.equal(found["images"], zoo.load(f"vae-mnist-{settings.latent}d").decode(z))


def test_the_code_for_a_picture_runs(capsys: pytest.CaptureFixture[str]) -> None:
    found: dict = {}
    exec(vae.code(VaeSettings())["picture"], found)
    assert found["bound"].elbo == pytest.approx(found["bound"].reconstruction - found["bound"].kl)
    assert str(found["bound"].elbo) in capsys.readouterr().out


def test_every_class_of_each_data_set_has_its_own_glyph() -> None:
    glyphs = text.page("vae")["stage"]["glyphs"]
    assert all(len(set(glyphs[data])) == 10 for data in ("mnist", "fashion"))


def test_every_checkpoint_of_the_page_is_there() -> None:
    assert set(vae._models()) == {"mnist-2", "mnist-16", "fashion-2", "fashion-16"}
