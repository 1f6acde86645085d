"""Conversations as a trainer's batches; and a run in transformers' pipeline."""

import pytest
import torch
from fixtures.tiny_model import tiny_config
from PIL import Image
from transformers import pipeline

from polysense import PolysenseModel
from polysense.data.trainer_collator import PolysenseCollator
from polysense.errors import PolysenseError
from polysense.training.run import build, resolve

PICTURE = Image.new("RGB", (30, 20), "red")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    model, processor = build(resolve(tiny_config(folder / "parts")))
    model.save_pretrained(folder / "run")
    processor.save_pretrained(folder / "run")
    return model.eval(), processor, folder / "run"


def talk(question, *answer):
    shown = {"type": "image", "image": PICTURE}
    asked = {"role": "user", "content": [shown, {"type": "text", "text": question}]}
    return [asked, *({"role": "assistant", "content": text} for text in answer)]


def test_a_batch_has_labels_and_is_padded_on_the_right(run):
    model, processor, _ = run
    rows = [{"messages": talk("What?", "A cat.")}, {"messages": talk("And what is this?", "Red.")}]
    batch = PolysenseCollator(processor)(rows)
    short = batch["attention_mask"][0].tolist()
    assert short == sorted(short, reverse=True)
    assert 0 in short
    for row, said in enumerate(("A cat.<|im_end|>", "Red.<|im_end|>")):
        labels = batch["labels"][row]
        assert processor.text_tokenizer.decode(labels[labels != -100]) == said
        assert torch.equal(labels[labels != -100], batch["input_ids"][row][labels != -100])
    one = [model(**PolysenseCollator(processor)([row])).loss for row in rows]
    counts = (batch["labels"] != -100).sum(dim=1)
    mean = (torch.stack(one) * counts).sum() / counts.sum()
    torch.testing.assert_close(model(**batch).loss, mean)
    plain = PolysenseCollator(processor, "plain")(rows)
    assert "user" not in processor.text_tokenizer.decode(plain["input_ids"][0])


def test_a_row_without_messages_is_named(run):
    with pytest.raises(PolysenseError, match="'caption' and no 'messages'"):
        PolysenseCollator(run[1])([{"caption": "A cat."}])
    with pytest.raises(PolysenseError, match="row 1: the conversation has no assistant"):
        PolysenseCollator(run[1])([{"messages": talk("a", "b")}, {"messages": talk("a")}])


@pytest.mark.skipif(not PolysenseModel.can_generate(), reason="pipelines ask the model for it")
def test_pipelines_take_a_run(run):
    _, processor, folder = run
    ask = pipeline("image-text-to-text", model=str(folder))
    assert isinstance(ask.model, PolysenseModel)
    options = {"generate_kwargs": {"do_sample": False}, "max_new_tokens": 4}
    inputs = processor.apply_chat_template(talk("What?"))
    ids = ask.model.generate(**inputs, max_new_tokens=4, do_sample=False)
    own = processor.decode(ids[0, inputs["input_ids"].shape[1] :])
    found = ask(text=talk("What?"), return_full_text=False, **options)
    assert found[0]["generated_text"].strip() == own
    text = processor.apply_chat_template(talk("What?"), tokenize=False)
    found = ask(images=PICTURE, text=text, return_full_text=False, **options)
    assert found[0]["generated_text"].strip() == own
    begun = processor.apply_chat_template(talk("What?", "It"), continue_final_message=True)
    ids = ask.model.generate(**begun, max_new_tokens=4, do_sample=False)
    found = ask(text=talk("What?", "It"), return_full_text=False, **options)
    assert f"It{found[0]['generated_text']}" in processor.decode(ids[0])
