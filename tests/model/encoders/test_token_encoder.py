"""Tokens of modalities without blocks of their own go through a frozen transformer of text."""

import pytest
import torch
from fixtures.tiny_model import PICTURES, VISION
from transformers import BertConfig, BertModel

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError
from polysense.model.encoders.build import build_encoder


def save_bert(folder, width):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=12,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=9,
    )
    bert = BertModel(config).eval()
    bert.save_pretrained(folder)
    return bert


@pytest.fixture
def vision(tmp_path):
    VISION["clip"]().save_pretrained(tmp_path / "clip")
    return {"kind": "transformers", "name": str(tmp_path / "clip")}


@pytest.mark.parametrize("width", [8, 24])  # narrower and wider than the pictures' 16
def test_tokens_are_the_transformers_states_and_pictures_pass_by(vision, tmp_path, width):
    bert = save_bert(tmp_path / "bert", width)
    encoder = build_encoder(
        EncoderConfig(**vision, token_encoder=str(tmp_path / "bert")), torch.float32
    )
    plain = build_encoder(EncoderConfig(**vision), torch.float32)
    assert (encoder.token_width, encoder.width) == (width, max(16, width))
    tokens = torch.randn(2, 7, width, requires_grad=True)
    features = encoder.encode(tokens)
    with torch.inference_mode():
        states = bert(inputs_embeds=tokens).last_hidden_state
        pictures = encoder(PICTURES)
    assert torch.allclose(features[..., :width], states, atol=1e-6)
    assert not features[..., width:].any()
    assert torch.equal(pictures[..., :16], plain(PICTURES))
    assert not pictures[..., 16:].any()
    features.sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.abs().sum() > 0
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_its_weights_count_as_the_encoders(vision, tmp_path):
    save_bert(tmp_path / "bert", 8)
    with_block = EncoderConfig(**vision, token_encoder=str(tmp_path / "bert"))
    one = build_encoder(with_block, torch.float32).fingerprint()
    again = build_encoder(with_block, torch.float32)
    assert one == again.fingerprint()
    again.block.embeddings.position_embeddings.weight.data += 1
    assert one != again.fingerprint()
    assert one != build_encoder(EncoderConfig(**vision), torch.float32).fingerprint()


def test_too_many_tokens_a_wrong_width_a_wrong_place(vision, tmp_path):
    save_bert(tmp_path / "bert", 8)
    encoder = build_encoder(
        EncoderConfig(**vision, token_encoder=str(tmp_path / "bert")), torch.float32
    )
    with pytest.raises(PolysenseError, match=r"10 tokens is too long .* 9 positions"):
        encoder.encode(torch.randn(1, 10, 8))
    with pytest.raises(PolysenseError, match=r"tokens \[N, F, 8\], not \[1, 2, 16\]"):
        encoder.encode(torch.randn(1, 2, 16))
    with pytest.raises(PolysenseError, match=r"encoder\.token_encoder .*not a model folder"):
        build_encoder(EncoderConfig(**vision, token_encoder=str(tmp_path / "none")), torch.float32)


def test_an_encoder_decoder_is_refused(vision, tmp_path):
    from transformers import T5Config, T5Model

    T5Model(
        T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    ).save_pretrained(tmp_path / "t5")
    with pytest.raises(PolysenseError, match="encoder-decoder"):
        build_encoder(EncoderConfig(**vision, token_encoder=str(tmp_path / "t5")), torch.float32)


def test_what_decides_the_images_features_is_among_its_settings(vision, tmp_path):
    save_bert(tmp_path / "bert", 8)
    settings = {
        build_encoder(
            EncoderConfig(**vision, token_encoder=str(tmp_path / "bert"), layer=layer),
            torch.float32,
        ).settings()
        for layer in (-1, -2)
    }
    assert len(settings) == 2
