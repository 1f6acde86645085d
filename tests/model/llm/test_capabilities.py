"""What an LLM can do is found out on itself; what it cannot is one line, before any work."""

from dataclasses import replace

import pytest
import torch
from fixtures.llm_families import family_llm
from fixtures.tiny_model import tiny_config

from polysense.config import FusionConfig
from polysense.errors import PolysenseError
from polysense.model.fusion.build import build_fusion
from polysense.model.llm.capabilities import (
    LLMCapabilities,
    check_llm,
    find_capabilities,
    row_logits,
    shortest_reach,
)
from polysense.training.run import train


@pytest.mark.parametrize("family", ["Gemma 3 with vision", "CTRL"])
def test_an_llm_that_cannot_generate_from_embeddings_is_refused_in_one_line(family):
    with pytest.raises(PolysenseError, match=r"^LLM 'its name': .*cannot generate from embed.*$"):
        check_llm(family_llm(family), "its name")


def test_a_run_with_such_an_llm_ends_before_any_work(tmp_path):
    config = tiny_config(tmp_path / "parts")
    family_llm("CTRL").save_pretrained(config.model.llm.name)
    config = replace(config, model=replace(config.model, llm=replace(config.model.llm, lora=None)))
    with pytest.raises(PolysenseError, match="cannot generate from embeddings"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("family", "kind", "words"),
    [
        ("RWKV", "cross_attention", "do not say how much of the text came before.*set it to input"),
        ("Mamba", "adapter", "needs attention with q_proj.*use gated or input"),
        ("Qwen 2 MoE", "expert", "is a mixture of experts: use gated, adapter or input"),
        ("Llama 4", "expert", "is a mixture of experts"),
    ],
)
def test_a_kind_of_interaction_that_an_llm_breaks_is_refused_when_built(family, kind, words):
    config = FusionConfig(kind, every=1 if kind == "cross_attention" else None)
    with pytest.raises(PolysenseError, match=f"fusion.kind={kind}.*{words}"):
        build_fusion(config, family_llm(family), ["image"])


def test_trees_run_as_far_as_the_shortest_window():
    assert find_capabilities(family_llm("Llama")) == LLMCapabilities(True, True, None)
    assert find_capabilities(family_llm("Mistral")) == LLMCapabilities(True, True, 8)
    assert find_capabilities(family_llm("Mamba")) == LLMCapabilities(False, False, None)
    short = LLMCapabilities(True, True, 8)
    assert short.runs_trees(8)
    assert not short.runs_trees(9)
    assert not LLMCapabilities(True, False, None).runs_trees(1)


def test_spans_of_positions_are_reaches_too():
    llm = family_llm("Phi-3")
    llm.config.rope_parameters = {"original_max_position_embeddings": 5}
    assert shortest_reach(llm) == 5


@torch.no_grad()
def test_rows_of_a_prompt_stand_side_by_side():
    llm = family_llm("Llama")
    prompts = torch.randn(2, 3, 32)
    found = row_logits(llm, prompts, [[4, 5], [6, 7]])
    for number, (prompt, row) in enumerate((p, r) for p in prompts for r in ([4, 5], [6, 7])):
        words = llm.get_input_embeddings()(torch.tensor(row))
        expected = llm(inputs_embeds=torch.cat([prompt, words])[None]).logits[0, 2:]
        assert torch.allclose(found[number], expected, atol=1e-4)
