"""BLIP-2's contrast and match against transformers' Blip2ForImageTextRetrieval, in fp32.

The checkpoint is what the Q-Former begins with, and its tower the encoder; captions of different
lengths in one batch, padded.
"""

import shutil
from dataclasses import replace

import pytest
import torch
from fixtures.other_systems import save_blip2, save_retrieval
from fixtures.tiny_qformer import paired_config
from safetensors.torch import load_file, save_file

from polysense.config import ConnectorConfig, EncoderConfig
from polysense.errors import PolysenseError
from polysense.model.connectors.qformer_pretraining import similarity
from polysense.training.run import build, resolve

TEXTS = ["A red circle and a long blue line.", "A square.", "Nothing"]


def begun(folder, checkpoint, **options):
    config = paired_config(folder)
    parts = replace(
        config.model,
        connector=ConnectorConfig("qformer", init_from=str(checkpoint), **options),
        encoder=EncoderConfig("transformers", str(checkpoint), class_token=True),
    )
    model, processor = build(resolve(replace(config, model=parts)))
    return model.eval(), processor


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieval")
    theirs = save_retrieval(folder / "theirs")
    ours, processor = begun(folder / "parts", folder / "theirs")
    read = processor.captions.read(TEXTS)
    assert not read["text_mask"].all()
    pictures = torch.randn(3, 3, 28, 28)
    given = {
        "pixel_values": pictures, "input_ids": read["text_ids"],
        "attention_mask": read["text_mask"],
    }  # fmt: skip
    features = ours.extract_features("image", pictures)
    return theirs, ours.connector.branches["image"], given, features, read


@torch.inference_mode()
def test_contrast(pair):
    theirs, branch, given, features, read = pair
    expected = theirs(**given)
    points = branch.signal_points(features)
    texts = branch.text_points(read["text_ids"], read["text_mask"])
    assert torch.allclose(points, expected.image_embeds, atol=1e-5, rtol=0)
    assert torch.allclose(texts, expected.text_embeds, atol=1e-5, rtol=0)
    found = similarity(points, texts)
    assert torch.allclose(found, expected.logits_per_image, atol=1e-5, rtol=0)
    assert found.std() > 0.05


@torch.inference_mode()
def test_match(pair):
    theirs, branch, given, features, read = pair
    expected = theirs(**given, use_image_text_matching_head=True).logits_per_image
    found = branch.itm_logits(features, read["text_ids"], read["text_mask"])
    assert torch.allclose(found, expected, atol=1e-5, rtol=0)
    assert found.std() > 0.05


def test_the_pictures_are_made_as_the_checkpoint_says(pair, tmp_path):
    save_retrieval(tmp_path / "theirs")
    ours, _ = begun(tmp_path / "parts", tmp_path / "theirs")
    modality = ours.modalities["image"]
    assert (modality.size, modality.fit) == (28, "stretch")


def test_what_is_new_is_said_and_the_rest_is_strict(tmp_path, capsys):
    save_retrieval(tmp_path / "theirs")
    begun(tmp_path / "parts", tmp_path / "theirs")
    said = capsys.readouterr().err
    assert "new: lm_head.bias, lm_head.inner.bias" in said
    assert "output_projection.weight, temperature; left out: nothing" in said
    short = shutil.copytree(tmp_path / "theirs", tmp_path / "short")
    tensors = load_file(short / "model.safetensors")
    del tensors["itm_head.bias"]
    save_file(tensors, short / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PolysenseError, match=r"lacks itm_head\.bias"):
        begun(tmp_path / "parts", short)
    with pytest.raises(PolysenseError, match=r"connector\.queries=9, and .* has 4: leave it out"):
        begun(tmp_path / "parts", tmp_path / "theirs", queries=9)
    save_blip2(tmp_path / "opt")
    with pytest.raises(PolysenseError, match="Q-Former has no text side"):
        begun(tmp_path / "parts", tmp_path / "opt")
