"""The UPM against outputs of OneLLM's official code at tiny size (../shared/parity).

onellm_tiny_upm.safetensors beside this file holds what the projection module needs of that fixture,
and CLIP's visual weights, from which the encoder's output is made by transformers' own CLIP.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.model.importers import load_onellm_projection
from polysense.model.upm import UniversalProjection

FIXTURE = Path(__file__).with_name("onellm_tiny_upm.safetensors")
SENSES = {
    "image": "image", "video": "video", "audio": "audio", "point": "point", "depth": "rgbd",
    "normal": "rgbn", "imu": "imu", "fmri": "fmri",
}  # fmt: skip
VISUAL = "weight.llma.clip.visual."


@pytest.fixture(scope="module")
def fixture():
    return load_file(FIXTURE)


def clip_features(tensors):
    """Every token after the last layer, then ln_post: the encoder's output in OneLLM."""
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
    with torch.inference_mode():
        states = tower(pixel_values=tensors["input.image"]).last_hidden_state
        return tower.post_layernorm(states)


def projection(router="sigmoid"):
    config = ConnectorConfig(
        "upm", experts=3, layers=2, heads=4, queries=30, feedforward=192, router=router
    )
    return UniversalProjection(config, list(SENSES), 64, 64, 1.0)


def weights(tensors):
    return {n.removeprefix("weight."): t for n, t in tensors.items() if n.startswith("weight.")}


def test_image_features_equal_the_official_ones(fixture):
    module = projection()
    load_onellm_projection(module, weights(fixture), SENSES)
    with torch.inference_mode():
        found = module.project(clip_features(fixture), "image")
    assert found.shape == fixture["features.image"].shape
    assert (found - fixture["features.image"]).abs().max() < 1e-4


def test_tags_stand_around_the_features(fixture):
    module = projection()
    load_onellm_projection(module, weights(fixture), SENSES)
    with torch.inference_mode():
        whole = module(clip_features(fixture), "image")
    assert whole.shape[1] == module.embeddings(17) == 32
    assert torch.equal(whole[0, 0], fixture["weight.llma.start_tag.image"].flatten())
    assert torch.equal(whole[0, -1], fixture["weight.llma.end_tag.image"].flatten())


def test_another_router_gives_other_features(fixture):
    module = projection("softmax")
    load_onellm_projection(module, weights(fixture), SENSES)
    with torch.inference_mode():
        found = module.project(clip_features(fixture), "image")
    assert (found - fixture["features.image"]).abs().max() > 1e-4


def test_a_missing_or_unknown_tensor_is_named(fixture):
    tensors = weights(fixture)
    tensors["llma.routers.taste.fc1.weight"] = tensors.pop("llma.clip_proj1.image.0.weight")
    with pytest.raises(PolysenseError, match=r"clip_proj1\.image\.0\.weight.*routers\.taste"):
        load_onellm_projection(projection(), tensors, SENSES)
