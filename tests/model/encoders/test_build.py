"""Encoders give what the wrapped models give, for every family, and are frozen."""

from pathlib import Path

import pytest
import torch
from fixtures.tiny_model import PICTURES, SMALL, VISION, save_llm
from transformers import CLIPConfig, CLIPModel

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError
from polysense.model.encoders.build import build_encoder
from polysense.model.encoders.efficientnet import (
    EfficientNetLite,
    SameConvolution,
    load_efficientnet,
)


def encoder_of(folder, **options):
    return build_encoder(EncoderConfig("transformers", str(folder), **options), torch.float32)


@pytest.mark.parametrize("family", VISION)
def test_patches_of_the_last_layer(family, tmp_path):
    own = VISION[family]().eval()
    own.save_pretrained(tmp_path)
    encoder = encoder_of(tmp_path)
    with torch.inference_mode():
        states = own(pixel_values=PICTURES).last_hidden_state
        if family == "clip":
            states = getattr(own, "vision_model", own).post_layernorm(states)
        found = encoder(PICTURES)
    assert torch.allclose(found, states[:, -4:], atol=1e-6)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_llava_takes_the_layer_before_the_last_without_class_token(tmp_path):
    own = VISION["clip"]().eval()
    own.save_pretrained(tmp_path)
    with torch.inference_mode():
        states = own(pixel_values=PICTURES, output_hidden_states=True).hidden_states[-2]
        assert torch.allclose(encoder_of(tmp_path, layer=-2)(PICTURES), states[:, 1:])
        with_class = encoder_of(tmp_path, layer=-2, class_token=True)(PICTURES)
    assert torch.allclose(with_class, states)


def test_grid_averages_neighbouring_patches(tmp_path):
    VISION["dinov2"]().save_pretrained(tmp_path)
    whole, pooled = (encoder_of(tmp_path, pooled_grid=grid)(PICTURES) for grid in (None, 1))
    assert torch.allclose(pooled[:, 0], whole.mean(dim=1), atol=1e-6)


def test_the_vision_tower_of_a_two_tower_model(tmp_path):
    config = CLIPConfig(
        text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        vision_config=SMALL,
    )
    CLIPModel(config).save_pretrained(tmp_path)
    assert encoder_of(tmp_path)(PICTURES).shape == (3, 4, 16)


def test_siglip_has_no_class_token_and_says_so(tmp_path):
    VISION["siglip"]().save_pretrained(tmp_path)
    with pytest.raises(PolysenseError, match="no class token"):
        encoder_of(tmp_path, class_token=True)(PICTURES)


def test_a_layer_or_a_size_the_model_lacks(tmp_path):
    VISION["clip"]().save_pretrained(tmp_path)
    for layer in (3, -4):
        with pytest.raises(PolysenseError, match="has 2 layers"):
            encoder_of(tmp_path, layer=layer)
    with pytest.raises(PolysenseError, match="size 28, not 42 x 42"):
        encoder_of(tmp_path)(torch.randn(1, 3, 42, 42))


def test_a_frozen_encoder_stays_in_evaluation_mode(tmp_path):
    VISION["dinov2"]().save_pretrained(tmp_path)
    encoder = encoder_of(tmp_path)
    assert not encoder.train().network.training
    encoder.requires_grad_(True)
    assert encoder.train().network.training


def test_damaged_and_pickled_weights_are_refused(tmp_path):
    VISION["clip"]().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:300])
    with pytest.raises(PolysenseError, match="damaged weights"):
        encoder_of(tmp_path)
    weights.unlink()
    torch.save(VISION["clip"]().state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(PolysenseError, match=r"model\.safetensors"):
        encoder_of(tmp_path)


def test_fingerprint_follows_weights_and_settings(tmp_path):
    VISION["clip"]().save_pretrained(tmp_path)
    first, same = encoder_of(tmp_path), encoder_of(tmp_path)
    assert first.fingerprint() == same.fingerprint()
    assert first.fingerprint() != encoder_of(tmp_path, pooled_grid=1).fingerprint()
    with torch.no_grad():
        next(same.parameters()).add_(1e-3)
    assert first.fingerprint() != same.fingerprint()


def test_efficientnet_from_a_weight_file(tmp_path):
    path = tmp_path / "efficientnet-lite0-x.pth"
    network = EfficientNetLite("lite0").eval()
    torch.save(network.state_dict(), path)
    encoder = build_encoder(
        EncoderConfig("efficientnet-lite", str(path), pooled_grid=2, class_token=True),
        torch.float32,
    )
    pictures = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        feature_map = network(pictures)  # [1, 1280, 2, 2]
        found = encoder(pictures)
    assert torch.allclose(found[:, 0], feature_map.mean((2, 3)), atol=1e-4)
    assert torch.allclose(found[:, 1:], feature_map.flatten(2).transpose(1, 2), atol=1e-4)


def test_convolutions_pad_as_tensorflow_does():
    # One 1 in an even picture, stride 2: TensorFlow pads right and below only (of a 3 x 3 kernel).
    convolution = SameConvolution(1, 1, 3, 2, bias=False)
    convolution.weight.data = torch.arange(9.0).view(1, 1, 3, 3)
    picture = torch.zeros(1, 1, 4, 4)
    picture[0, 0, 0, 0] = picture[0, 0, 3, 3] = 1
    found = convolution(picture)[0, 0]
    assert found.tolist() == [[0, 0], [0, 4]]
    assert convolution(torch.zeros(1, 1, 5, 7)).shape[-2:] == (3, 4)


@pytest.mark.parametrize(
    ("variant", "blocks", "parameters"),
    [("lite0", 16, 4_652_008), ("lite1", 21, 5_416_680), ("lite2", 21, 6_092_072),
     ("lite3", 24, 8_197_096), ("lite4", 30, 13_006_568)],
)  # fmt: skip
def test_every_variant_has_the_published_size(variant, blocks, parameters):
    with torch.device("meta"):
        network = EfficientNetLite(variant)
    assert len(network._blocks) == blocks
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_weights_with_other_things_inside_are_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "lite0.pth"
    for content in (Evil(), [1], {"a": torch.ones(1)}):
        torch.save(content, path)
        with pytest.raises(PolysenseError, match="cannot be loaded"):
            load_efficientnet(path)
    path.write_bytes(b"")
    with pytest.raises(PolysenseError, match="cannot be loaded"):
        load_efficientnet(path)
    assert not (tmp_path / "ran").exists()


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


@pytest.mark.parametrize("family", VISION)
def test_tokens_take_the_place_of_patch_embeddings(family, tmp_path):
    """A picture's own patch embeddings, given as tokens, end as that picture's features."""
    own = VISION[family]().eval()
    own.save_pretrained(tmp_path)
    tower = getattr(own, "vision_model", own)
    encoder = encoder_of(tmp_path)
    with torch.inference_mode():
        tokens = tower.embeddings(PICTURES)
        assert torch.allclose(encoder.encode(tokens), encoder(PICTURES), atol=1e-6)
        kept = encoder_of(tmp_path, layer=-2, class_token=family != "siglip")
        states = own(pixel_values=PICTURES, output_hidden_states=True).hidden_states[-2]
        assert torch.allclose(kept.encode(tokens), states, atol=1e-6)
        # The hook is gone, and another number of tokens than patches is as good.
        assert torch.allclose(encoder(PICTURES), encoder_of(tmp_path)(PICTURES))
        assert encoder.encode(torch.randn(2, 9, 16)).shape[0] == 2


def test_gradients_reach_the_tokens_and_not_the_encoder(tmp_path):
    VISION["clip"]().save_pretrained(tmp_path)
    encoder = encoder_of(tmp_path)
    tokens = torch.randn(2, 5, 16, requires_grad=True)
    encoder.encode(tokens).sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in encoder.parameters())
    with pytest.raises(PolysenseError, match=r"takes tokens \[N, F, 16\]"):
        encoder.encode(torch.randn(2, 5, 8))


def test_an_encoder_is_the_same_in_either_precision_and_its_features_are_not(tmp_path):
    VISION["clip"]().save_pretrained(tmp_path)
    config = EncoderConfig("transformers", str(tmp_path))
    whole, half = (build_encoder(config, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert whole.identity() == half.identity()
    assert whole.fingerprint() != half.fingerprint()
