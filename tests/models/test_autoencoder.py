"""The autoencoder: the VAE's networks, a code and back, and nothing that could be called a probability."""

from __future__ import annotations

import pytest
import torch

from models.autoencoder import Autoencoder, NoDensity
from models.contract import Density, HasLatents
from models.noise import Noise
from models.vae import VAE


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(latent=3, shape=(1, 8, 8), hidden=16, channels=8).double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("halvings", [2, 3])
def test_its_networks_are_the_vaes_but_for_the_width(halvings: int) -> None:
    settings = {"latent": 3, "shape": (3, 16, 16), "hidden": 16, "channels": 8, "halvings": halvings}
    own = {name: tensor.shape for name, tensor in Autoencoder(**settings).state_dict().items()}
    other = {name: tensor.shape for name, tensor in VAE(**settings).state_dict().items() if name != "log_scale"}
    assert own.keys() == other.keys()
    different = [name for name in own if own[name] != other[name]]
    last = max(name for name in own if name.startswith("encoder") and name.endswith("weight"))
    assert {name.rsplit(".", 1)[0] for name in different} == {last.rsplit(".", 1)[0]}  # a VAE gives a mean and a deviation


def test_the_code_has_no_width_and_decodes_to_pixels(model: Autoencoder, x: torch.Tensor) -> None:
    posterior = model.encode(x)
    assert isinstance(model, HasLatents)
    assert posterior.mean.shape == (5, 3)
    assert (posterior.std == 0).all()
    picture = model.decode(posterior.mean)
    assert picture.dtype == torch.uint8
    mean = model.decode_mean(posterior.mean)
    assert torch.equal(picture, mean.clamp(0, 255).round().to(torch.uint8))


def test_the_error_is_the_sum_of_squares_over_an_image(model: Autoencoder, x: torch.Tensor) -> None:
    found = model.decode_mean(model.codes(x))
    for image in range(len(x)):
        slow = sum((a - b) ** 2 for a, b in zip(found[image].flatten().tolist(), x[image].flatten().tolist(), strict=True))
        assert float(model.squared_error(x)[image]) == pytest.approx(slow, rel=1e-9)


def test_it_has_no_density_and_says_so(model: Autoencoder, x: torch.Tensor) -> None:
    assert model.spec.density is Density.NONE
    with pytest.raises(NoDensity, match=r"has no p\(x\)"):
        model.log_prob(x)


def test_samples_are_what_standard_normal_codes_decode_to(model: Autoencoder) -> None:
    z = Noise(4).normal(6, (3,), stream="z", dtype=torch.float64)
    assert torch.equal(model.sample(6, noise=4), model.decode(z))
    assert torch.equal(model.sample(6, noise=4)[:2], model.sample(2, noise=4))
    with pytest.raises(ValueError, match="has no classes"):
        model.sample(2, noise=0, labels=torch.tensor([0, 1]))


def test_it_learns_to_reconstruct(x: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = Autoencoder(latent=4, shape=(1, 8, 8), hidden=32, channels=8)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = float(model.squared_error(x).mean())
    for _ in range(150):
        optimiser.zero_grad()
        loss = model.squared_error(x).mean() / 255**2
        loss.backward()
        optimiser.step()
    assert float(model.squared_error(x).mean().detach()) < 0.1 * before
