"""A new Q-Former begins with BERT: then its text side is BERT, and nothing goes astray."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from fixtures.tiny_qformer import BERT, paired_config, save_bert
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertForMaskedLM

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.importers.bert import with_initial_sizes
from polysense.training.run import build, resolve


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert") / "bert")


def begun(folder, bert, **options):
    """A model whose Q-Former begins with BERT, its branch and its processor."""
    config = paired_config(folder)
    connector = ConnectorConfig(
        "qformer", queries=3, init_from=str(bert), **{"contrastive_width": 8} | options
    )
    model, processor = build(
        resolve(replace(config, model=replace(config.model, connector=connector)))
    )
    return model.connector.branches["image"].eval(), processor


def test_the_text_side_is_bert(bert, tmp_path, capsys):
    branch, processor = begun(tmp_path, bert)
    theirs = BertForMaskedLM.from_pretrained(bert).eval()
    own = AutoTokenizer.from_pretrained(bert)
    given = own(["a red circle.", "a line."], padding=True, return_tensors="pt")
    read = processor.captions.read(["a red circle.", "a line."])
    real = given["attention_mask"].bool()
    with torch.inference_mode():
        expected = theirs.bert(**given).last_hidden_state
        found = branch.former(None, read["text_ids"], read["text_mask"])
        assert torch.allclose(found[real], expected[real], atol=1e-5)
        words = branch.lm_head(found, branch.former.words.weight)
        logits = theirs(**given).logits
    assert words.shape[-1] == logits.shape[-1] + 1  # [DEC]
    assert torch.allclose(words[..., :-1][real], logits[real], atol=1e-4)
    for layer in branch.former.layers:
        queries, texts = (
            part.state_dict() for part in (layer.query_feedforward, layer.text_feedforward)
        )
        assert all(torch.equal(queries[name], texts[name]) for name in queries)
    said = capsys.readouterr().err
    assert "new: temperature, feature_norm.weight, feature_norm.bias, former.queries, " in said
    assert "former.queries, former.layers.*.cross_attention.query.weight" in said
    assert "left out: bert.pooler.dense.bias, bert.pooler.dense.weight, cls.seq_rel" in said


def test_a_bert_without_its_head_and_a_qformer_without_text(bert, tmp_path, capsys):
    BertForMaskedLM.from_pretrained(bert).bert.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(bert).save_pretrained(tmp_path / "base")
    begun(tmp_path / "parts", tmp_path / "base")
    assert "lm_head.inner.weight" in capsys.readouterr().err
    branch, processor = begun(tmp_path / "parts", bert, contrastive_width=None)
    assert processor.captions is None
    assert "left out: bert.embeddings.position_embeddings" in capsys.readouterr().err
    source = load_file(bert / "model.safetensors")
    there = branch.former.layers[1].query_feedforward.inner.weight
    assert torch.equal(there, source["bert.encoder.layer.1.intermediate.dense.weight"])


def test_sizes_are_the_checkpoints(bert):
    found = with_initial_sizes(ConnectorConfig("qformer", init_from=str(bert)))
    assert (found.width, found.layers) == (BERT["hidden_size"], BERT["num_hidden_layers"])
    assert with_initial_sizes(found) == found
    with pytest.raises(PolysenseError, match=r"connector\.layers=5, and '.*' has 2: leave it out"):
        with_initial_sizes(replace(found, layers=5))
    with pytest.raises(PolysenseError, match="only a connector of kind qformer"):
        with_initial_sizes(replace(found, kind="mlp"))


def test_what_is_missing_or_unlike_is_named(bert, tmp_path):
    short = shutil.copytree(bert, tmp_path / "short")
    tensors = load_file(short / "model.safetensors")
    del tensors["bert.encoder.layer.1.output.dense.bias"]
    save_file(tensors, short / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PolysenseError, match=r"lacks bert\.encoder\.layer\.1\.output\.dense\.bias"):
        begun(tmp_path / "parts", short)
    for name, value, words in (
        ("hidden_act", "relu", "its BERT has hidden_act='relu'"),
        ("model_type", "gpt2", "is a model of type 'gpt2'; a Q-Former begins with BERT"),
    ):
        other = shutil.copytree(bert, tmp_path / name)
        values = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps({**values, name: value}))
        with pytest.raises(PolysenseError, match=words):
            begun(tmp_path / "parts", other)
