"""Word vectors alone, as an import loads them, say an LLM's scale, sizes and fingerprint."""

import pytest
import torch
from fixtures.families.llms import family_llm

from polysense.model.llm.input_embeddings import (
    embedding_factor,
    embedding_scale,
    input_embeddings,
    llm_fingerprint,
    load_words,
)


@pytest.mark.parametrize("max_shard_size", ["5GB", "20KB"])
@pytest.mark.parametrize("family", ["Llama", "Gemma", "Gemma 3 text", "XGLM"])
def test_an_import_needs_the_word_vectors_only(tmp_path, family, max_shard_size):
    llm = family_llm(family)
    llm.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    words = load_words(tmp_path, torch.float32)
    weight = words.get_input_embeddings().weight
    others = [p for p in words.parameters() if p is not weight]
    assert all(p.is_meta for p in others if p.shape != weight.shape)
    assert torch.equal(input_embeddings(words), input_embeddings(llm))
    assert llm_fingerprint(words) == llm_fingerprint(llm)
    factor = 1 if family == "Llama" else 32**0.5
    assert embedding_factor(words) == pytest.approx(factor, rel=1e-5)
    assert embedding_factor(llm) == pytest.approx(factor, rel=1e-5)
    assert embedding_scale(words) == pytest.approx(embedding_scale(llm), rel=1e-5)


def test_of_an_llm_without_weights_only_sizes_are_asked():
    with torch.device("meta"):
        llm = family_llm("GPT-2")
    assert embedding_factor(llm) == embedding_scale(llm) == 1


def test_another_word_vector_or_size_is_another_llm():
    llm, other = family_llm("Llama"), family_llm("Llama")
    assert llm_fingerprint(llm) == llm_fingerprint(other)
    with torch.no_grad():
        other.get_input_embeddings().weight[0] += 1
    assert llm_fingerprint(llm) != llm_fingerprint(other)
    llm.config.num_hidden_layers += 1
    assert llm_fingerprint(llm) != llm_fingerprint(family_llm("Llama"))
