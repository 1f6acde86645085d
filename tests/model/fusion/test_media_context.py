"""Which signals a position sees: in one document, in rows that samples share, past the prompt."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from polysense.errors import PolysenseError
from polysense.model.fusion.llm_hooks import decoder_layers, for_beams
from polysense.model.fusion.media_context import MediaContext, counts_before, media_counts

PICTURE = 3
DOCUMENT = torch.tensor([[1, 10, PICTURE, 11, PICTURE, 12, PICTURE, 13]])


def seen(mask):
    """The signals, from 1, that each position sees; of a mask with two embeddings to a signal."""
    return [sorted({int(i) // 2 + 1 for i in row.nonzero()}) for row in mask[0, 0]]


def view_of(ids, positions=None):
    held = ids == PICTURE
    media = torch.zeros(len(ids), 4, 2, 8)
    return MediaContext.of(media, media_counts(held), counts_before(held, positions))


def test_in_a_document_of_three_pictures():
    view = view_of(DOCUMENT)
    assert seen(view.latest(0, 8)) == [[], [], [1], [1], [2], [2], [3], [3]]
    assert seen(view.so_far(0, 8)) == [[], [], [1], [1], [1, 2], [1, 2], [1, 2, 3], [1, 2, 3]]


def test_what_follows_the_prompt_sees_what_its_end_does():
    view = view_of(DOCUMENT[:, :5])
    assert seen(view.latest(3, 4)) == [[1], [2], [2], [2]]
    assert seen(view.so_far(5, 1)) == [[1, 2]]


def test_samples_that_share_a_row_do_not_see_one_anothers_signals():
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2]])
    view = view_of(DOCUMENT, positions)
    assert seen(view.latest(0, 8)) == [[], [], [1], [1], [2], [], [3], [3]]
    assert seen(view.so_far(0, 8)) == [[], [], [1], [1], [1, 2], [], [3], [3]]
    starting = torch.tensor([[0, 1, 2, 3, 0, 0, 0, 1]])  # a sample may begin with its signal
    assert seen(view_of(DOCUMENT, starting).latest(0, 8)) == [[], [], [1], [1], [2], [], [3], [3]]


def test_beams_stand_side_by_side():
    part = torch.tensor([[1], [2]])
    assert for_beams(2, part)[0] is part
    assert for_beams(6, part)[0].flatten().tolist() == [1, 1, 1, 2, 2, 2]


def test_an_llm_without_a_list_of_layers_is_named():
    llm = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=3, n_head=2, vocab_size=9))
    assert decoder_layers(llm) is llm.transformer.h
    llm.config.n_layer = 5
    with pytest.raises(PolysenseError, match="keeps its 5 layers in no list"):
        decoder_layers(llm)
