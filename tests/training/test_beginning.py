"""Which captions a Q-Former reads, by its config alone."""

from dataclasses import replace

import pytest
from captioned import paired_config, save_bert

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.training.beginning import caption_reader, with_beginning


def test_captions_in_the_llms_ids_or_in_berts(tmp_path):
    model = paired_config(tmp_path).model
    own = with_beginning(model)
    reader = caption_reader(own)
    assert own.connector.vocabulary == reader.vocabulary
    assert with_beginning(own) == own  # a run that is continued resolves its config again
    bert = save_bert(tmp_path / "bert")
    begun = with_beginning(
        replace(model, connector=ConnectorConfig("qformer", space=8, initial=str(bert)))
    )
    assert begun.connector.vocabulary == caption_reader(begun).vocabulary < reader.vocabulary
    assert with_beginning(begun) == begun


def test_no_space_no_captions(tmp_path):
    model = paired_config(tmp_path).model
    plain = replace(model, connector=ConnectorConfig("qformer"))
    assert caption_reader(plain) is None
    assert with_beginning(plain) == plain


def test_a_vocabulary_without_room_for_the_marks(tmp_path):
    model = paired_config(tmp_path).model
    short = replace(model, connector=replace(model.connector, vocabulary=40))
    with pytest.raises(
        PolysenseError, match=r"connector\.vocabulary=40, and the tokenizer's marks"
    ):
        with_beginning(short)
