"""What a text must not hold is refused when its line is read, wherever in the line it stands."""

import json

import pytest

from polysense.data.datasets import read_manifest
from polysense.data.text_checks import check_texts
from polysense.errors import PolysenseError

HALF = "A \ud83d cat."
PLACE = "The sign <|image|>."


def lines_with(text):
    """Lines of every form with `text` in one place of each."""
    talk = [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": text}]
    turns = [{"role": "user", "content": ["Who?", text]}, {"role": "assistant", "content": "Me."}]
    return [
        {"image": "a.png", "caption": text},
        {"image": "a.png", "caption": "A.", "category": text},
        {"image": "a.png", "question": text, "answer": "A."},
        {"image": "a.png", "question": "Who?", "answer": text},
        {"image": "a.png", "conversations": talk},
        {"messages": turns},
        {"document": [{"image": "a.png"}, text]},
        {"image": text, "caption": "A."},
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [(HALF, r"half a character \('\\ud83d'\)"), (PLACE, r"contains '<\|image\|>', which holds")],
    ids=["half", "place"],
)
@pytest.mark.parametrize("index", range(8))
def test_a_bad_text_names_its_line(tmp_path, text, words, index):
    (tmp_path / "a.png").write_bytes(b"x")
    lines = [{"image": "a.png", "caption": "Good."}, lines_with(text)[index]]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(PolysenseError, match=rf"m\.jsonl, line 2: .*{words}"):
        read_manifest(tmp_path / "m.jsonl", ["image"])
    (tmp_path / "m.json").write_text(json.dumps(lines))
    with pytest.raises(PolysenseError, match=rf"m\.json, item 2: .*{words}"):
        read_manifest(tmp_path / "m.json", ["image"])


def test_whole_emojis_and_places_of_modalities_the_run_lacks_are_words():
    check_texts({"caption": "A \U0001f600 and <|smell|>, <|audio|>."}, ["image"])
    with pytest.raises(PolysenseError, match="holds the place of smell"):
        check_texts({"caption": "A <|smell|>."}, ["smell"])
