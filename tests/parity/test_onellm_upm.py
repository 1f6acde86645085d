"""The UPM against outputs of OneLLM's official code at tiny size (../shared/parity).

onellm_tiny_upm.safetensors beside this file holds what the projection module needs of that fixture,
and CLIP's visual weights, from which the encoder's output is made by transformers' own CLIP;
onellm_tiny_senses.safetensors holds the inputs, tokenizers and positions of audio and IMU.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.model.importers.onellm import load_onellm_projection
from polysense.model.upm import UniversalProjection

FIXTURES = [
    Path(__file__).with_name(f"onellm_tiny_{part}.safetensors") for part in ("upm", "senses")
]
SENSES = {
    "image": "image", "video": "video", "audio": "audio", "point": "point", "depth": "rgbd",
    "normal": "rgbn", "imu": "imu", "fmri": "fmri",
}  # fmt: skip
VISUAL = "weight.llma.clip.visual."
CONVOLUTIONS = {
    "audio": (functional.conv2d, {"stride": 10}),
    "imu": (functional.conv1d, {"stride": 1}),
}


@pytest.fixture(scope="module")
def fixture():
    return {name: tensor for path in FIXTURES for name, tensor in load_file(path).items()}


def clip_tower(tensors):
    """CLIP's vision tower of transformers with the fixture's weights."""
    config = CLIPVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        image_size=56, patch_size=14, hidden_act="quick_gelu",
    )  # fmt: skip
    clip = CLIPVisionModel(config).eval()
    tower = getattr(clip, "vision_model", clip)
    own = {name.removeprefix(VISUAL): t for name, t in tensors.items() if name.startswith(VISUAL)}
    state = {
        "embeddings.class_embedding": own["class_embedding"],
        "embeddings.patch_embedding.weight": own["conv1.weight"],
        "embeddings.position_embedding.weight": own["positional_embedding"],
    }
    for ours, theirs in (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")):
        for kind in ("weight", "bias"):
            state[f"{ours}.{kind}"] = own[f"{theirs}.{kind}"]
    places = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc",
              "mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj"}  # fmt: skip
    for layer in range(2):
        block = f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            for ours, theirs in places.items():
                state[f"encoder.layers.{layer}.{ours}.{kind}"] = own[f"{block}{theirs}.{kind}"]
            parts = own[f"{block}attn.in_proj_{kind}"].chunk(3)
            for letter, part in zip("qkv", parts, strict=True):
                state[f"encoder.layers.{layer}.self_attn.{letter}_proj.{kind}"] = part
    missing, unknown = tower.load_state_dict(state, strict=False)
    assert not unknown
    assert all("position_ids" in name for name in missing)
    return tower


def encoded(tensors, modality):
    """Every token after the last layer, then ln_post: the encoder's output in OneLLM.

    Pictures go through CLIP's own patches and positions; other senses bring their tokens and their
    positions, and take CLIP's class token.
    """
    tower, signal = clip_tower(tensors), tensors[f"input.{modality}"]
    with torch.inference_mode():
        if modality not in CONVOLUTIONS:
            return tower.post_layernorm(tower(pixel_values=signal).last_hidden_state)
        convolution, options = CONVOLUTIONS[modality]
        own = "weight.llma.conv1." + modality
        found = convolution(signal, tensors[f"{own}.weight"], tensors.get(f"{own}.bias"), **options)
        first = tensors[VISUAL + "class_embedding"].expand(len(signal), 1, -1)
        tokens = torch.cat([first, found.flatten(2).transpose(1, 2)], dim=1)
        tokens = tower.pre_layrnorm(
            tokens + tensors[f"weight.llma.positional_embedding.{modality}"]
        )
        return tower.post_layernorm(tower.encoder(inputs_embeds=tokens).last_hidden_state)


def projection(router="sigmoid", senses=SENSES):
    config = ConnectorConfig(
        "upm", experts=3, layers=2, heads=4, queries=30, feedforward=192, router=router
    )
    return UniversalProjection(config, list(senses), 64, 64, 1.0)


def weights(tensors):
    return {n.removeprefix("weight."): t for n, t in tensors.items() if n.startswith("weight.")}


@pytest.mark.parametrize(("modality", "positions"), [("image", 17), ("audio", 61), ("imu", 42)])
def test_features_equal_the_official_ones(fixture, modality, positions):
    module = projection()
    load_onellm_projection(module, weights(fixture), SENSES)
    features = encoded(fixture, modality)
    assert features.shape == (2, positions, 64)
    with torch.inference_mode():
        found = module.project(features, modality)
    assert found.shape == fixture[f"features.{modality}"].shape
    assert (found - fixture[f"features.{modality}"]).abs().max() < 1e-4


def test_tags_stand_around_the_features(fixture):
    module = projection()
    load_onellm_projection(module, weights(fixture), SENSES)
    with torch.inference_mode():
        whole = module(encoded(fixture, "image"), "image")
    assert whole.shape[1] == module.embeddings(17) == 32
    assert torch.equal(whole[0, 0], fixture["weight.llma.start_tag.image"].flatten())
    assert torch.equal(whole[0, -1], fixture["weight.llma.end_tag.image"].flatten())


def test_another_router_gives_other_features(fixture):
    module = projection("softmax")
    load_onellm_projection(module, weights(fixture), SENSES)
    with torch.inference_mode():
        found = module.project(encoded(fixture, "image"), "image")
    assert (found - fixture["features.image"]).abs().max() > 1e-4


def test_a_missing_or_unknown_tensor_is_named(fixture):
    tensors = weights(fixture)
    tensors["llma.routers.taste.fc1.weight"] = tensors.pop("llma.clip_proj1.image.0.weight")
    with pytest.raises(PolysenseError, match=r"clip_proj1\.image\.0\.weight.*routers\.taste"):
        load_onellm_projection(projection(), tensors, SENSES)


FIRST = "llma.resample_layers.0.0.feed_forward.w1.weight"


def test_a_tensor_of_another_shape_is_named_and_nothing_is_loaded(fixture):
    """A transposed matrix has as many numbers: only its shape gives it away."""
    tensors = weights(fixture)
    for expert in range(3):
        name = FIRST.replace(".0.0.", f".{expert}.0.")
        tensors[name] = tensors[name].T.contiguous()
    module = projection()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(PolysenseError, match=r"0\.0\.feed_forward\.w1.*\[64, 192\].*\[192, 64\]"):
        load_onellm_projection(module, tensors, SENSES)
    tensors = weights(fixture)
    tensors[FIRST] = tensors[FIRST][:5]
    with pytest.raises(PolysenseError, match=r"\[5, 64\]"):
        load_onellm_projection(module, tensors, SENSES)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_module_unlike_the_release_is_refused(fixture):
    """What the release has no tensor for would keep its random start; what we lack has no place."""
    fewer = {"image": "image"}
    cases = [
        (projection("constant"), SENSES, r"routers\.audio"),
        (projection(), {**SENSES, "taste": "taste"}, r"end_tag\.taste"),
        (projection(), fewer, r"end_tag\.audio"),
        (projection(senses=fewer), fewer, r"not placed \['clip_proj1\.audio"),
    ]
    for module, senses, words in cases:
        with pytest.raises(PolysenseError, match=words):
            load_onellm_projection(module, weights(fixture), senses)
    bare = {name.removeprefix("llma."): tensor for name, tensor in weights(fixture).items()}
    with pytest.raises(PolysenseError, match="missing"):
        load_onellm_projection(projection(), bare, SENSES)
    load_onellm_projection(projection(), bare, SENSES, prefix="")
