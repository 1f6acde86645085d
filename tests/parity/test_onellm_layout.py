"""The released OneLLM-7B at full size, without its weights: 940 names and shapes find their place.

Names and shapes are written out here from the paper's numbers and the release's own code, apart
from the tables under test: polysense.importers.onellm.names (where tensors belong) and
polysense.importers.onellm.sizes (how large everything is).
"""

import math

import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from polysense.errors import PolysenseError
from polysense.importers.onellm.names import LEFT_OUT, TOKENIZERS, half_split
from polysense.importers.onellm.read import check_layout, layout_of
from polysense.importers.onellm.sizes import Unwritten
from polysense.modalities import build_modalities

LLM, INNER, VOCABULARY, LAYERS = 4096, 11008, 32000, 32
WIDTH, TEXT, EXPERTS, BLOCKS, GATED = 1024, 768, 3, 8, 2816
MODALITIES = ("image", "video", "audio", "point", "rgbd", "rgbn", "imu", "fmri")
TOKENS = {"audio": 1212, "point": 1024, "imu": 391, "fmri": 8}


def block(width, inner):
    """A block of LLaMA's kind."""
    parts = {f"attention.w{letter}.weight": (width, width) for letter in "qkvo"}
    parts |= {f"feed_forward.{gate}.weight": (inner, width) for gate in ("w1", "w3")}
    parts["feed_forward.w2.weight"] = (width, inner)
    return parts | {f"{norm}.weight": (width,) for norm in ("attention_norm", "ffn_norm")}


def layer(name, *shape):
    """Weight and bias."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def clip():
    """What the release holds of CLIP ViT-L/14: the vision tower, and the text side's odd ends."""
    own = {
        "visual.class_embedding": (WIDTH,), "visual.positional_embedding": (257, WIDTH),
        "visual.proj": (WIDTH, TEXT), "visual.conv1.weight": (WIDTH, 3, 14, 14),
        "positional_embedding": (77, TEXT), "text_projection": (TEXT, TEXT), "logit_scale": (),
        "token_embedding.weight": (49408, TEXT),
    }  # fmt: skip
    own |= layer("visual.ln_pre", WIDTH) | layer("visual.ln_post", WIDTH) | layer("ln_final", TEXT)
    for number in range(24):
        place = f"visual.transformer.resblocks.{number}"
        own |= layer(f"{place}.ln_1", WIDTH) | layer(f"{place}.ln_2", WIDTH)
        own |= layer(f"{place}.mlp.c_fc", 4 * WIDTH, WIDTH)
        own |= layer(f"{place}.mlp.c_proj", WIDTH, 4 * WIDTH)
        own |= layer(f"{place}.attn.out_proj", WIDTH, WIDTH)
        own[f"{place}.attn.in_proj_weight"] = (3 * WIDTH, WIDTH)
        own[f"{place}.attn.in_proj_bias"] = (3 * WIDTH,)
    return {f"clip.{name}": shape for name, shape in own.items()}


def release():
    """{name: shape} of consolidated.00-of-01.pth."""
    own = {
        "tok_embeddings.weight": (VOCABULARY, LLM), "output.weight": (VOCABULARY, LLM),
        "norm.weight": (LLM,), "conv1.imu.weight": (WIDTH, 6, 10),
    }  # fmt: skip
    for number in range(LAYERS):
        own |= {f"layers.{number}.{name}": s for name, s in block(LLM, INNER).items()}
    own |= clip()
    own |= layer("conv1.audio", WIDTH, 1, 16, 16) | layer("conv1.point.conv1", WIDTH, 6, 1, 1)
    own |= layer("conv1.fmri", 8 * WIDTH, 15724)
    own |= {f"positional_embedding.{s}": (n + 1, WIDTH) for s, n in TOKENS.items()}
    for expert in range(EXPERTS):
        for number in range(BLOCKS):
            place = f"resample_layers.{expert}.{number}"
            own |= {f"{place}.{name}": s for name, s in block(WIDTH, GATED).items()}
    for modality in MODALITIES:
        own |= layer(f"clip_proj1.{modality}.0", WIDTH, WIDTH) | layer(
            f"clip_proj1.{modality}.1", WIDTH
        )
        own |= layer(f"clip_proj2.{modality}.0", LLM, WIDTH) | layer(
            f"clip_proj2.{modality}.1", LLM
        )
        own |= layer(f"routers.{modality}.fc1", 4 * WIDTH, WIDTH)
        own |= layer(f"routers.{modality}.fc2", EXPERTS, 4 * WIDTH)
        own[f"resample_tokens.{modality}"] = (1, 30, WIDTH)
        own |= {f"{tag}_tag.{modality}": (1, 1, LLM) for tag in ("start", "end")}
    return {f"llma.{name}": torch.Size(shape) for name, shape in own.items()}


@pytest.fixture(scope="module")
def layout():
    return layout_of(release(), Unwritten())


def test_the_release_is_what_the_facts_say():
    shapes = release()
    assert len(shapes) == 940
    assert round(sum(math.prod(shape) for shape in shapes.values()) / 1e9, 3) == 7.597


def test_all_940_have_one_place_and_every_place_has_its_tensor(layout):
    shapes = release()
    check_layout(layout, shapes)
    assert all(blank.is_meta for blank in layout.blanks.values())
    used = [(name, source.third) for source in layout.sources.values() for name in source.names]
    assert len(used) == len(set(used))  # nothing is read twice
    assert {name for name, _ in used} | set(LEFT_OUT) == set(shapes)
    assert len({name for name, _ in used}) == 940 - len(LEFT_OUT) == 933
    held = sum(blank.numel() for blank in layout.blanks.values())
    left = sum(math.prod(shapes[name]) for name in LEFT_OUT)
    assert held + left == sum(math.prod(shape) for shape in shapes.values())


@pytest.mark.parametrize("gone", ["llma.norm.weight", "llma.conv1.fmri.bias", "llma.end_tag.rgbn"])
def test_one_that_is_missing_is_named(layout, gone):
    shapes = release()
    del shapes[gone]
    with pytest.raises(PolysenseError, match=gone.replace(".", r"\.")):
        check_layout(layout, shapes)


def test_sizes_read_from_the_shapes(layout):
    llama, vision, connector = layout.llm.config, layout.clip.config, layout.connector
    assert (llama.num_hidden_layers, llama.num_attention_heads, llama.num_key_value_heads) == (
        32, 32, 32,
    )  # fmt: skip
    assert (llama.rms_norm_eps, llama.intermediate_size) == (1e-5, INNER)
    assert (vision.num_hidden_layers, vision.num_attention_heads) == (24, 16)
    assert (vision.image_size, vision.patch_size, vision.hidden_act) == (224, 14, "quick_gelu")
    assert (connector.layers, connector.heads, connector.queries) == (8, 16, 30)
    assert (connector.experts, connector.feedforward) == (3, 2816)
    modalities = build_modalities(layout.modalities, {})
    assert (modalities["audio"].frames, modalities["imu"].samples) == (1024, 400)
    assert (modalities["point"].groups, modalities["point"].neighbours) == (1024, 32)
    assert (modalities["fmri"].voxels, modalities["fmri"].tokens) == (15724, 8)


@pytest.mark.parametrize("modality", TOKENIZERS)
@torch.inference_mode()
def test_tokenizers_at_full_size(layout, modality):
    """As many tokens as the table has positions; fMRI's half gigabyte on the meta device."""
    option, device = build_modalities(layout.modalities, {})[modality], "cpu"
    if modality == "fmri":
        device = "meta"
    with torch.device(device):
        tokenizer = option.tokenizer(WIDTH)
    count = tokenizer(option.example()[None].to(device)).shape[1]
    found = {f"tokenizer.{name}": tensor.shape for name, tensor in tokenizer.state_dict().items()}
    found["positions"] = (count + 1, WIDTH)
    start = f"tokenizers.{modality}."
    blanks = layout.blanks.items()
    assert found == {n.removeprefix(start): b.shape for n, b in blanks if n.startswith(start)}
    assert count == TOKENS[modality]


def test_rotary_halves_give_the_products_of_interleaved_pairs():
    """Queries times keys, turned by LLaMA's own formula and by transformers', are the same."""
    heads, head, steps = 2, 8, 5
    query, key = torch.randn(2, heads * head, 12).unbind()
    x = torch.randn(steps, 12)
    angles = torch.arange(steps)[:, None] * 10000 ** (-torch.arange(0, head, 2) / head)

    def pairs(weight):  # each pair of neighbours is a complex number that is turned
        values = (x @ weight.T).view(steps, heads, head // 2, 2)
        turned = torch.view_as_complex(values) * torch.polar(
            torch.ones_like(angles), angles
        ).unsqueeze(1)
        return torch.view_as_real(turned).flatten(2).transpose(0, 1)

    expected = pairs(query) @ pairs(key).transpose(1, 2)
    q, k = (
        (x @ half_split(weight, heads).T).view(1, steps, heads, head).transpose(1, 2)
        for weight in (query, key)
    )
    both = torch.cat([angles, angles], dim=-1)[None]
    q, k = apply_rotary_pos_emb(q, k, both.cos(), both.sin())
    assert torch.allclose((q @ k.transpose(2, 3))[0], expected, atol=1e-4)
    plain = (x @ query.T).view(1, steps, heads, head).transpose(1, 2)
    plain, _ = apply_rotary_pos_emb(plain, plain, both.cos(), both.sin())
    assert not torch.allclose((plain @ k.transpose(2, 3))[0], expected, atol=1e-2)
