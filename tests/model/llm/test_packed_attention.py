"""Samples that share a row are told apart by where positions restart."""

import torch

from polysense.model.llm.packed_attention import block_mask, document_index, packed_inputs


def test_samples_are_told_apart_by_where_positions_restart():
    positions = torch.tensor([[0, 1, 0, 0, 1]])
    assert document_index(positions).tolist() == [[0, 0, 1, 2, 2]]
    seen = (block_mask(positions, torch.float32)[0, 0] == 0).int().tolist()
    assert seen == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0],
                    [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]]  # fmt: skip


def test_a_mask_is_given_to_llms_that_need_one_only():
    llm = torch.nn.Linear(1, 1)
    llm.dtype = torch.float32
    positions = torch.tensor([[0, 1, 0]])
    assert list(packed_inputs(llm, positions, "positions")) == ["position_ids"]
    inputs = packed_inputs(llm, positions, "mask")
    assert torch.equal(inputs["attention_mask"], block_mask(positions, torch.float32))
