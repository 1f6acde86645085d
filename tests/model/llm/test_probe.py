"""An LLM that is tried stays as it was."""

import torch
from fixtures.families.llms import family_llm

from polysense.model.llm.capabilities import find_capabilities
from polysense.model.llm.probe import alike


def test_asking_leaves_an_llm_as_it_was():
    llm = family_llm("GPT-2")
    llm.transformer.h[1].train()
    modes = [module.training for module in llm.modules()]
    state = torch.get_rng_state()
    find_capabilities(llm)
    assert [module.training for module in llm.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


def test_results_are_alike_up_to_the_rounding_of_their_dtype():
    wanted = torch.full((4,), 100.0)
    assert alike(wanted + 0.05, wanted, torch.float32)
    assert not alike(wanted + 1, wanted, torch.float32)
    assert alike(wanted + 1, wanted, torch.bfloat16)
    assert not alike(wanted + 10, wanted, torch.bfloat16)
