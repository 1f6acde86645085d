"""Captions for a Q-Former: marks around them, both beginnings, padding, and what is too long."""

import pytest
from fixtures.tiny_model import save_llm
from fixtures.tiny_qformer import save_bert
from transformers import AutoTokenizer

from polysense.data.caption_tokenizer import LONGEST, CaptionTokenizer, caption_of
from polysense.errors import PolysenseError
from polysense.types import Media, Message, Text


def test_berts_marks_and_one_more(tmp_path):
    save_bert(tmp_path / "bert")
    own = AutoTokenizer.from_pretrained(tmp_path / "bert")
    reader = CaptionTokenizer.from_pretrained(tmp_path / "bert")
    assert reader.vocabulary == len(own) + 1
    read = reader.read(["a red circle.", "a line."])
    assert read["text_ids"][0].tolist() == own("a red circle.")["input_ids"]
    assert read["decoder_input_ids"][:, 0].tolist() == [len(own)] * 2  # [DEC], the new one
    assert (read["decoder_input_ids"][:, 1:] == read["text_ids"][:, 1:]).all()
    assert read["text_mask"].sum(dim=1).tolist() == [6, 5]
    assert read["text_ids"][1][:5].tolist() == own("a line.")["input_ids"]


def test_the_llms_tokenizer_gets_the_marks_it_lacks(tmp_path):
    save_llm(tmp_path / "llm")
    own = AutoTokenizer.from_pretrained(tmp_path / "llm")
    reader = CaptionTokenizer(own)
    assert len(own) == reader.vocabulary - 3  # the LLM's own stays as it was
    assert reader.largest_mark == reader.vocabulary - 1
    ids = reader.read(["A red line."])["text_ids"][0]
    assert reader.tokenizer.decode(ids) == "[CLS]A red line.[SEP]"
    reader.save_pretrained(tmp_path / "saved")
    again = CaptionTokenizer.from_pretrained(tmp_path / "saved")
    assert again.read(["A red line."])["text_ids"][0].tolist() == ids.tolist()
    assert again.vocabulary == reader.vocabulary


def test_a_long_caption_is_cut_and_still_ends(tmp_path):
    save_bert(tmp_path / "bert")
    reader = CaptionTokenizer.from_pretrained(tmp_path / "bert")
    ids = reader.read(["red " * 50])["text_ids"]
    assert ids.shape == (1, LONGEST)
    assert int(ids[0, -1]) == reader.tokenizer.sep_token_id


def test_the_last_turn_is_the_caption():
    said = [Message("user", (Media("image", "a.png"), Text("What?"))),
            Message("assistant", (Text(" A red "), Text("line.")))]  # fmt: skip
    assert caption_of(said) == "A red line."


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(PolysenseError, match="has no text tokenizer"):
        CaptionTokenizer.from_pretrained(tmp_path)


def test_a_caption_that_names_a_mark_is_text(tmp_path):
    save_bert(tmp_path / "bert")
    reader = CaptionTokenizer.from_pretrained(tmp_path / "bert")
    ids = reader.read(["a line[SEP]a"])["text_ids"][0].tolist()
    assert ids.count(reader.tokenizer.sep_token_id) == 1
