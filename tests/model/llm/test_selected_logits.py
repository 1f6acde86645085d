"""Logits at some columns are those that the whole LLM gives there."""

import torch
from fixtures.families.llms import family_llm

from polysense.model.llm.selected_logits import branch_logits, logits_at, row_logits


@torch.no_grad()
def test_rows_of_a_prompt_stand_side_by_side():
    llm = family_llm("Llama")
    prompts = torch.randn(2, 3, 32)
    found = row_logits(llm, prompts, [[4, 5], [6, 7]])
    for number, (prompt, row) in enumerate((p, r) for p in prompts for r in ([4, 5], [6, 7])):
        words = llm.get_input_embeddings()(torch.tensor(row))
        expected = llm(inputs_embeds=torch.cat([prompt, words])[None]).logits[0, 2:]
        assert torch.allclose(found[number], expected, atol=1e-4)


@torch.no_grad()
def test_a_token_of_a_tree_sees_the_prompt_and_its_own_branch_only():
    llm = family_llm("Llama")
    prompts = torch.randn(2, 3, 32)
    seen = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 1]]).bool()  # two tokens, and one beside them
    found = branch_logits(llm, prompts, [4, 5, 6], seen)
    first, second = row_logits(llm, prompts, [[4, 5]]), row_logits(llm, prompts, [[6]])
    assert torch.allclose(found[:, :3], first, atol=1e-4)
    assert torch.allclose(found[:, [0, 3]], second, atol=1e-4)


@torch.no_grad()
def test_an_llm_that_takes_no_columns_makes_all_logits():
    llm = family_llm("Llama")
    inputs = {"inputs_embeds": torch.randn(1, 6, 32)}
    columns = torch.tensor([1, 4])
    expected = llm(**inputs).logits[:, columns]
    call = llm.forward
    assert torch.allclose(logits_at(llm, columns, **inputs), expected, atol=1e-6)
    llm.forward = lambda inputs_embeds, logits_to_keep: call(inputs_embeds=inputs_embeds)
    assert torch.allclose(logits_at(llm, columns, **inputs), expected, atol=1e-6)
    llm.forward = lambda inputs_embeds: call(inputs_embeds=inputs_embeds)
    assert torch.allclose(logits_at(llm, columns, **inputs), expected, atol=1e-6)
