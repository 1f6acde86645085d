"""Which captions a Q-Former reads, by its config alone."""

from dataclasses import replace

import pytest
from fixtures.tiny_qformer import paired_config, save_bert

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.importers.qformer_init import caption_tokenizer, with_qformer_init


def test_captions_in_the_llms_ids_or_in_berts(tmp_path):
    model = paired_config(tmp_path).model
    own = with_qformer_init(model)
    reader = caption_tokenizer(own)
    assert own.connector.vocabulary == reader.vocabulary
    assert with_qformer_init(own) == own  # a run that is continued resolves its config again
    bert = save_bert(tmp_path / "bert")
    begun = with_qformer_init(
        replace(
            model, connector=ConnectorConfig("qformer", contrastive_width=8, init_from=str(bert))
        )
    )
    assert begun.connector.vocabulary == caption_tokenizer(begun).vocabulary < reader.vocabulary
    assert with_qformer_init(begun) == begun


def test_no_space_no_captions(tmp_path):
    model = paired_config(tmp_path).model
    plain = replace(model, connector=ConnectorConfig("qformer"))
    assert caption_tokenizer(plain) is None
    assert with_qformer_init(plain) == plain


def test_a_vocabulary_without_room_for_the_marks(tmp_path):
    model = paired_config(tmp_path).model
    short = replace(model, connector=replace(model.connector, vocabulary=40))
    with pytest.raises(
        PolysenseError, match=r"connector\.vocabulary=40, and the tokenizer's marks"
    ):
        with_qformer_init(short)
