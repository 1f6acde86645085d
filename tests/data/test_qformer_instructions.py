"""What a connector is told of a signal is the text around it, and stays text."""

from fixtures.tiny_qformer import save_bert
from transformers import AutoTokenizer

from polysense.data.qformer_instructions import read_instructions
from polysense.types import Media, Message, Text


def test_instructions_are_text(tmp_path):
    save_bert(tmp_path / "bert")
    own = AutoTokenizer.from_pretrained(tmp_path / "bert")
    said = Message("user", (Media("image", "a"), Text("a line[SEP]a")))
    ids = read_instructions(own, [[said]])["image"]["text_ids"][0].tolist()
    assert ids.count(own.sep_token_id) == 1
    assert ids[-1] == own.sep_token_id
