"""What an LLM can do is found out on itself; what it cannot is one line, before any work."""

from dataclasses import replace

import pytest
from fixtures.families.llms import family_llm
from fixtures.tiny_model import tiny_config

from polysense.config import FusionConfig
from polysense.errors import PolysenseError
from polysense.model.fusion.build import build_fusion
from polysense.model.llm.capabilities import (
    LLMCapabilities,
    LogitTransform,
    check_llm,
    find_capabilities,
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
        ("Mamba", "llama_adapter", "needs attention with q_proj.*use cross_attention or input"),
        ("Qwen 2 MoE", "visual_expert", "is a mixture of experts: use cross_attention, "),
        ("Llama 4", "visual_expert", "is a mixture of experts"),
    ],
)
def test_a_kind_of_interaction_that_an_llm_breaks_is_refused_when_built(family, kind, words):
    config = FusionConfig(kind, every_n_layers=1 if kind == "cross_attention" else None)
    with pytest.raises(PolysenseError, match=f"fusion.kind={kind}.*{words}"):
        build_fusion(config, family_llm(family), ["image"])


def test_trees_run_as_far_as_the_shortest_window():
    assert find_capabilities(family_llm("Llama")) == LLMCapabilities(
        "positions", True, None, LogitTransform()
    )
    assert find_capabilities(family_llm("Mistral")) == LLMCapabilities(
        "positions", True, 8, LogitTransform()
    )
    assert find_capabilities(family_llm("Mamba")) == LLMCapabilities(
        None, False, None, LogitTransform()
    )
    short = LLMCapabilities("positions", True, 8, None)
    assert short.runs_trees(8)
    assert not short.runs_trees(9)
    assert not LLMCapabilities("positions", False, None, None).runs_trees(1)


def test_spans_of_positions_are_reaches_too():
    llm = family_llm("Phi-3")
    llm.config.rope_parameters = {"original_max_position_embeddings": 5}
    assert shortest_reach(llm) == 5


def test_a_cap_of_the_logits_is_found_in_the_config():
    llm = family_llm("Gemma 2")
    cap = llm.config.get_text_config().final_logit_softcapping
    assert find_capabilities(llm).logit_transform == LogitTransform(1.0, cap)
    assert cap
