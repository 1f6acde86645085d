"""Encoders give what the wrapped models give, for every family, and are frozen."""

import pytest
import torch
from tiny import save_llm
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError
from polysense.model.efficientnet import EfficientNetLite
from polysense.model.encoders import build_encoder, signal_options

SMALL = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
DINO = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
FAMILIES = {
    "clip": lambda: CLIPVisionModel(CLIPVisionConfig(**SMALL)),
    "siglip": lambda: SiglipVisionModel(SiglipVisionConfig(**SMALL)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**DINO)),
}
PICTURES = torch.randn(3, 3, 28, 28)


def encoder_of(folder, **options):
    return build_encoder(EncoderConfig("transformers", str(folder), **options), torch.float32)


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_of_the_last_layer(family, tmp_path):
    own = FAMILIES[family]().eval()
    own.save_pretrained(tmp_path)
    encoder = encoder_of(tmp_path)
    with torch.inference_mode():
        states = own(pixel_values=PICTURES).last_hidden_state
        if family == "clip":
            states = getattr(own, "vision_model", own).post_layernorm(states)
        found = encoder(PICTURES, "image")
    assert torch.allclose(found, states[:, -4:], atol=1e-6)
    assert encoder.positions(PICTURES) == 4
    assert not any(p.requires_grad for p in encoder.parameters())


def test_llava_takes_the_layer_before_the_last_without_class_token(tmp_path):
    own = FAMILIES["clip"]().eval()
    own.save_pretrained(tmp_path)
    with torch.inference_mode():
        states = own(pixel_values=PICTURES, output_hidden_states=True).hidden_states[-2]
        assert torch.allclose(encoder_of(tmp_path, layer=-2)(PICTURES, "image"), states[:, 1:])
        with_class = encoder_of(tmp_path, layer=-2, class_token=True)(PICTURES, "image")
    assert torch.allclose(with_class, states)


def test_grid_averages_neighbouring_patches(tmp_path):
    FAMILIES["dinov2"]().save_pretrained(tmp_path)
    whole, pooled = (encoder_of(tmp_path, grid=grid)(PICTURES, "image") for grid in (None, 1))
    assert torch.allclose(pooled[:, 0], whole.mean(dim=1), atol=1e-6)


def test_the_vision_tower_of_a_two_tower_model(tmp_path):
    config = CLIPConfig(
        text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        vision_config=SMALL,
    )
    CLIPModel(config).save_pretrained(tmp_path)
    assert encoder_of(tmp_path)(PICTURES, "image").shape == (3, 4, 16)


def test_siglip_has_no_class_token_and_says_so(tmp_path):
    FAMILIES["siglip"]().save_pretrained(tmp_path)
    with pytest.raises(PolysenseError, match="no class token"):
        encoder_of(tmp_path, class_token=True)(PICTURES, "image")


def test_options_follow_the_family_and_the_preprocessor_file(tmp_path):
    FAMILIES["siglip"]().save_pretrained(tmp_path / "siglip")
    config = EncoderConfig("transformers", str(tmp_path / "siglip"))
    options = signal_options(config)["image"]
    assert (options["size"], list(options["mean"])) == (28, [0.5] * 3)
    (tmp_path / "siglip/preprocessor_config.json").write_text(
        '{"size": {"shortest_edge": 30}, "crop_size": {"height": 26, "width": 26}, '
        '"image_mean": [0.1, 0.2, 0.3]}'
    )
    options = signal_options(config)["image"]
    assert (options["size"], options["mean"]) == (26, [0.1, 0.2, 0.3])


def test_fingerprint_follows_weights_and_settings(tmp_path):
    FAMILIES["clip"]().save_pretrained(tmp_path)
    first, same = encoder_of(tmp_path), encoder_of(tmp_path)
    assert first.fingerprint() == same.fingerprint()
    assert first.fingerprint() != encoder_of(tmp_path, grid=1).fingerprint()
    with torch.no_grad():
        next(same.parameters()).add_(1e-3)
    assert first.fingerprint() != same.fingerprint()


def test_efficientnet_from_a_weight_file(tmp_path):
    path = tmp_path / "efficientnet-lite0-x.pth"
    network = EfficientNetLite("lite0").eval()
    torch.save(network.state_dict(), path)
    encoder = build_encoder(
        EncoderConfig("efficientnet-lite", str(path), grid=2, class_token=True), torch.float32
    )
    pictures = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        feature_map = network(pictures)  # [1, 1280, 2, 2]
        found = encoder(pictures, "image")
    assert torch.allclose(found[:, 0], feature_map.mean((2, 3)), atol=1e-4)
    assert torch.allclose(found[:, 1:], feature_map.flatten(2).transpose(1, 2), atol=1e-4)


def test_what_is_no_encoder_is_refused(tmp_path):
    llm = save_llm(tmp_path / "llm")
    with pytest.raises(PolysenseError, match="not a vision"):
        encoder_of(llm)
    with pytest.raises(PolysenseError, match="not a model folder"):
        encoder_of(tmp_path / "nothing")
    with pytest.raises(PolysenseError, match="unknown encoder"):
        build_encoder(EncoderConfig("efficentnet", "x"), torch.float32)
    (tmp_path / "efficientnet-lite2-bad.pth").write_bytes(b"no weights")
    for name, words in (
        ("efficientnet-lite2-bad.pth", "cannot be loaded"),
        ("lite1.pth", "do not exist"),
        ("weights.pth", "must contain"),
    ):
        config = EncoderConfig("efficientnet-lite", str(tmp_path / name))
        with pytest.raises(PolysenseError, match=words):
            build_encoder(config, torch.float32)
