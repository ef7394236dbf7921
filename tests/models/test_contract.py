"""What every model carries: a spec that survives JSON, checks that speak, and weights that are never a pickle."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import huggingface_hub.hub_mixin
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from models.contract import Density, Family, Spec
from models.vae import VAE

SIZE = st.integers(1, 500)


def small(network: str, **settings) -> VAE:
    torch.manual_seed(5)
    return VAE(latent=2, shape=(1, 8, 8), network=network, hidden=8, channels=4, **settings).eval()


@given(
    st.text(max_size=8),
    st.tuples(SIZE, SIZE, SIZE),
    SIZE,
    st.sampled_from(list(Density)),
    st.sampled_from(list(Family)),
    SIZE,
    SIZE,
)
def test_a_spec_survives_json(kind, shape, levels, density, family, classes, latent) -> None:
    spec = Spec(kind, shape, levels, density, family, classes, latent)
    back = Spec.from_json(json.loads(json.dumps(spec.to_json())))
    assert back == spec
    assert isinstance(back.density, Density)
    assert isinstance(back.family, Family)
    assert isinstance(back.shape, tuple)
    assert back.dims == shape[0] * shape[1] * shape[2]


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        small("mlp").spec.levels = 2  # type: ignore[misc]


@pytest.mark.parametrize("network", ["conv", "mlp"])
@pytest.mark.parametrize("scale", [None, 20.0])
def test_saving_and_loading_gives_the_same_model_bit_for_bit(network: str, scale: float | None, tmp_path: Path) -> None:
    model = small(network, scale=scale)
    model.save_pretrained(tmp_path)
    back = VAE.from_pretrained(tmp_path)
    assert back.spec == model.spec
    assert back.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    x = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(back.log_prob(x, noise=1).nats, model.log_prob(x, noise=1).nats)
    assert torch.equal(back.sample(4, noise=1), model.sample(4, noise=1))
    assert isinstance(back.log_scale, torch.nn.Parameter) == (scale is None)


def test_weights_are_stored_in_the_precision_asked_for_and_loaded_in_float32(tmp_path: Path) -> None:
    model = small("conv")
    model.save_pretrained(tmp_path, storage=torch.float16)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    back = VAE.from_pretrained(tmp_path)
    for name, tensor in model.state_dict().items():
        assert back.state_dict()[name].dtype == torch.float32
        assert torch.equal(back.state_dict()[name], tensor.half().float())


def test_a_model_in_channels_last_is_saved_with_its_values_in_place(tmp_path: Path) -> None:
    model = small("conv").to(memory_format=torch.channels_last)
    model.save_pretrained(tmp_path)
    for name, tensor in VAE.from_pretrained(tmp_path).state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_the_config_holds_settings_and_the_spec_and_nothing_to_import(tmp_path: Path) -> None:
    small("mlp").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert Spec.from_json(config["spec"]) == small("mlp").spec
    assert (config["latent"], config["network"], config["hidden"], config["scale"]) == (2, "mlp", 8, None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert "models." not in (tmp_path / "config.json").read_text()


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    model = small("mlp")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError):
        VAE.from_pretrained(tmp_path)


def test_a_missing_tensor_is_an_error_and_not_a_random_weight(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    small("mlp").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["log_scale"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RuntimeError, match="log_scale"):
        VAE.from_pretrained(tmp_path)


def test_push_to_hub_uploads_what_save_pretrained_writes(monkeypatch) -> None:
    uploaded: dict[str, list[str]] = {}

    class Hub:
        def __init__(self, token=None) -> None: ...

        def create_repo(self, repo_id, **_):
            return type("Url", (), {"repo_id": repo_id})

        def upload_folder(self, repo_id, folder_path, **_):
            uploaded[repo_id] = sorted(file.name for file in Path(folder_path).iterdir())

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Hub)
    small("mlp").push_to_hub("someone/vae")
    assert uploaded == {"someone/vae": ["config.json", "model.safetensors"]}


def test_check_passes_good_images_on_and_names_what_is_wrong_with_others() -> None:
    model = small("mlp")
    x = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    assert model.check(x) is x
    assert len(model.check(x[:0])) == 0
    for bad in (x.int(), x[0], x[..., :7], x.expand(3, 2, 8, 8)):
        with pytest.raises(ValueError, match=r"Images are uint8 \(B, 1, 8, 8\), not torch"):
            model.check(bad)
