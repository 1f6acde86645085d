"""Imported LLaVA-1.5, BLIP-2 and InstructBLIP against transformers' own classes, in fp32.

The same picture and question go through both processors and both models. What is imported here is
polysense.importers.llava and polysense.importers.blip2, with polysense.data.chat.chat_templates
for their prompts and polysense.model.encoders.vision for BLIP's vision tower.
"""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from fixtures.other_systems import save_blip2, save_instructblip, save_llava
from PIL import Image

from polysense import PolysenseModel, PolysenseProcessor
from polysense.importers.import_checkpoint import import_checkpoint

SAVE = {"llava": save_llava, "blip2": save_blip2, "instructblip": save_instructblip}
# The prompt each paper's processor is given, around a question.
PROMPTS = {
    "llava": "USER: <image>\n{} ASSISTANT:",
    "blip2": "Question: {} Answer:",
    "instructblip": "{}",
}
QUESTIONS = ("What is this?", "A red circle. Which shape is it?")


@dataclass
class Pair:
    """A model of theirs and the same one imported, with their processors."""

    family: str
    theirs: Any
    their_processor: Any
    ours: Any
    processor: Any


def pictures():
    torch.manual_seed(8)
    noise = torch.randint(0, 255, (2, 40, 28, 3), dtype=torch.uint8).numpy()
    return [Image.fromarray(one).resize((56, 90)) for one in noise]


@pytest.fixture(scope="module", params=SAVE)
def pair(request, tmp_path_factory):
    folder, family = tmp_path_factory.mktemp(request.param), request.param
    theirs, their_processor = SAVE[family](folder / "theirs")
    out = import_checkpoint(family, str(folder / "theirs"), folder / "ours", "fp32")
    ours, processor = PolysenseModel.from_pretrained(out), PolysenseProcessor.from_pretrained(out)
    return Pair(family, theirs, their_processor, ours, processor)


def asked(question, picture):
    parts = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
    return [{"role": "user", "content": parts}]


def batch_of(pair):
    """Both questions in one batch of ours, padded on the left."""
    return pair.processor.apply_chat_template(
        [asked(q, p) for q, p in zip(QUESTIONS, pictures(), strict=True)]
    )


def as_theirs(pair, batch):
    """A batch of ours as arguments of theirs."""
    ids = batch["input_ids"].clone()
    ids[ids == pair.ours.config.placeholders["image"]] = pair.theirs.config.image_token_index
    values = {
        "input_ids": ids,
        "attention_mask": batch["attention_mask"],
        "pixel_values": batch["signals"]["image"],
    }
    if "instructions" in batch:
        led = batch["instructions"]["image"]
        values["qformer_input_ids"] = led["text_ids"]
        values["qformer_attention_mask"] = led["text_mask"]
    return values


@torch.inference_mode()
def test_a_question_with_a_picture_alone(pair):
    """Files to logits on both sides: prompts, pixels and numbers agree."""
    for question, picture in zip(QUESTIONS, pictures(), strict=True):
        given = pair.their_processor(
            images=picture, text=PROMPTS[pair.family].format(question), return_tensors="pt"
        )
        bos = pair.processor.text_tokenizer.bos_token_id
        if bos not in given["input_ids"]:  # this tiny tokenizer adds none by itself
            ids, held = given["input_ids"][0], 0
            if pair.family != "llava":
                held = int((ids == pair.theirs.config.image_token_index).sum())
            ids = torch.cat([ids[:held], torch.tensor([bos]), ids[held:]])
            given["input_ids"], given["attention_mask"] = ids[None], torch.ones_like(ids)[None]
        batch = pair.processor.apply_chat_template(asked(question, picture))
        mapped = as_theirs(pair, batch)
        assert torch.equal(mapped["input_ids"], given["input_ids"])
        assert torch.allclose(mapped["pixel_values"], given["pixel_values"], atol=1e-6)
        expected = pair.theirs(**given).logits
        assert torch.allclose(pair.ours(**batch).logits, expected, atol=1e-5, rtol=0)
        assert expected.std() > 0.05


@torch.inference_mode()
def test_a_batch_with_padding(pair):
    batch = batch_of(pair)
    real = batch["attention_mask"].bool()
    assert not real.all()
    expected = pair.theirs(**as_theirs(pair, batch)).logits
    assert torch.allclose(pair.ours(**batch).logits[real], expected[real], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_cached_greedy_generation(pair):
    batch = batch_of(pair)
    options = {"max_new_tokens": 16, "do_sample": False}
    start = batch["input_ids"].shape[1]
    expected = pair.theirs.generate(**as_theirs(pair, batch), use_cache=True, **options)[:, start:]
    found = pair.ours.generate(**batch, **options)[:, start:]
    assert torch.equal(found, expected)
    assert found.shape[1] > 4
    assert len(found.unique()) > 2
    assert not torch.equal(found[0], found[1])


@torch.inference_mode()
def test_the_picture_and_the_instruction_are_read(pair):
    first, second = pictures()
    logits = [
        pair.ours(**pair.processor.apply_chat_template(asked(QUESTIONS[0], picture))).logits
        for picture in (first, second)
    ]
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)
    batch = pair.processor.apply_chat_template(asked(QUESTIONS[0], first))
    assert ("instructions" in batch) == (pair.family == "instructblip")
    if "instructions" in batch:
        words = batch["instructions"]["image"]["text_ids"]
        batch["instructions"]["image"]["text_ids"] = words.flip(1)
        assert not torch.allclose(pair.ours(**batch).logits, logits[0], atol=1e-3)


def test_turns_are_written_so_that_a_loss_mask_is_found(pair):
    said = [*asked(QUESTIONS[0], pictures()[0]), {"role": "assistant", "content": "A circle."}]
    said += [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
    batch = pair.processor.apply_chat_template(said, add_generation_prompt=False)
    trainable = batch["labels"][batch["labels"] >= 0]
    words = pair.processor.decode(trainable, skip_special_tokens=False)
    assert words.replace("<|im_end|>", "|").replace(" ", "") == "Acircle.|Yes.|"


@pytest.mark.parametrize(("layer", "strategy"), [(-1, "default"), (2, "full")])
@torch.inference_mode()
def test_llava_of_another_layer_and_with_its_class_token(tmp_path, layer, strategy):
    theirs, _ = save_llava(
        tmp_path / "theirs", vision_feature_layer=layer, vision_feature_select_strategy=strategy
    )
    out = import_checkpoint("llava", str(tmp_path / "theirs"), tmp_path / "ours", "fp32")
    ours, processor = PolysenseModel.from_pretrained(out), PolysenseProcessor.from_pretrained(out)
    pair = Pair("llava", theirs, None, ours, processor)
    batch = batch_of(pair)
    real = batch["attention_mask"].bool()
    expected = theirs(**as_theirs(pair, batch)).logits
    assert torch.allclose(ours(**batch).logits[real], expected[real], atol=1e-5, rtol=0)
