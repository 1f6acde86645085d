"""Without a signal the LLM speaks as it did before training; with one, as it was taught."""

from dataclasses import replace

import pytest
import torch
from fixtures.tiny_model import tiny_config
from PIL import Image

from polysense.config import LoraConfig
from polysense.serving.cached_conversation import Session
from polysense.serving.terminal_chat import Conversation
from polysense.serving.text_only import NOTE, lora_layers, resting
from polysense.training.run import build, resolve


@pytest.fixture
def parts(tmp_path):
    """A model whose LoRA layers change what it says, and its processor."""
    config = tiny_config(tmp_path / "parts")
    llm = replace(config.model.llm, lora=LoraConfig(targets=("q_proj", "v_proj")))
    torch.manual_seed(0)
    model, processor = build(resolve(replace(config, model=replace(config.model, llm=llm))))
    with torch.no_grad():
        for name, weight in model.llm.named_parameters():
            if ".lora_" in name:
                weight.normal_(std=3.0)
    return model.eval(), processor


def said(text, *shown):
    return {"role": "user", "content": [*shown, {"type": "text", "text": text}]}


def answer(model, processor, messages):
    """What is said without anything kept."""
    batch = processor.apply_chat_template(messages)
    ids = model.generate(**batch, max_new_tokens=6, do_sample=False)
    return ids[0, batch["input_ids"].shape[1] :]


def test_lora_rests_until_a_signal_is_shown(parts):
    model, processor = parts
    session, options = Session(model, processor), {"max_new_tokens": 6, "do_sample": False}
    words = [said("What is the capital of Peru?")]
    taught = answer(model, processor, words)
    with resting(lora_layers(model)):
        before = answer(model, processor, words)
    assert not torch.equal(taught, before)
    assert torch.equal(session.generate(words, **options), before)
    picture = {"type": "image", "image": Image.new("RGB", (30, 20), "red")}
    more = [*words, {"role": "assistant", "content": "Lima."}, said("And this?", picture)]
    # Keys and values of the words were kept without LoRA: they are not used any more.
    assert torch.equal(session.generate(more, **options), answer(model, processor, more))
    assert torch.equal(session.generate(words, **options), before)
    assert torch.equal(answer(model, processor, words), taught)  # LoRA is on again


def test_what_learns_goes_on_learning(parts):
    model, _ = parts
    layers = lora_layers(model)
    assert layers
    before = {name: p.requires_grad for name, p in model.llm.named_parameters()}
    with pytest.raises(ZeroDivisionError), resting(layers):
        raise ZeroDivisionError
    assert {name: p.requires_grad for name, p in model.llm.named_parameters()} == before
    assert not any(layer.disable_adapters for layer in layers)


def test_it_is_said_once_and_only_of_runs_with_lora(parts, tmp_path, capsys):
    conversation = Conversation(*parts, 3)
    conversation.ask("Hm?")
    conversation.ask("Why?")
    assert capsys.readouterr().err.count(NOTE) == 1
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    conversation.reset()
    assert conversation.messages == []
    conversation.ask("Hm?", [str(tmp_path / "a.png")])
    assert capsys.readouterr().err == ""
    config = tiny_config(tmp_path / "plain")
    llm = replace(config.model.llm, lora=None)
    plain, processor = build(resolve(replace(config, model=replace(config.model, llm=llm))))
    capsys.readouterr()
    assert lora_layers(plain) == []
    Conversation(plain, processor, 3).ask("Hm?")
    assert capsys.readouterr().err == ""
