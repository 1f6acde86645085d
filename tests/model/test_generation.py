"""generate's options do what they do in any model of transformers, or are refused by name."""

import pytest
import torch
from fixtures.tiny_model import tiny_config
from PIL import Image
from transformers import (
    GenerationConfig,
    MaxLengthCriteria,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from polysense.errors import PolysenseError
from polysense.model.generation import words_only
from polysense.training.run import build, resolve

NEW = 6


def asked(text, *colours):
    shown = [{"type": "image", "image": Image.new("RGB", (30, 20), c)} for c in colours]
    return [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generation") / "parts"
    torch.manual_seed(0)
    model, processor = build(resolve(tiny_config(folder)))
    conversations = [asked("What is this?", "red"), asked("And these two?", "blue", "green")]
    return model.eval(), processor.apply_chat_template(conversations)


def by_hand(made, **options):
    """The same from transformers alone: the LLM continues the embeddings, without any ids."""
    model, batch = made
    with (
        torch.inference_mode(),
        model.multimodal_inputs(batch["input_ids"], batch["signals"]) as prompt,
    ):
        return model.llm.generate(
            inputs_embeds=prompt,
            attention_mask=batch["attention_mask"],
            do_sample=False,
            min_new_tokens=NEW,
            max_new_tokens=NEW,
            **options,
        )


def generate(made, **options):
    model, batch = made
    options = {"do_sample": False, "min_new_tokens": NEW, "max_new_tokens": NEW, **options}
    return model.generate(**batch, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_beams": 3},
        {"num_beams": 3, "num_return_sequences": 3},
        {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0},
        {"use_cache": False},
    ],
    ids=str,
)
def test_several_beams_and_answers_are_those_of_transformers(made, options):
    batch, found = made[1], generate(made, **options)
    start, number = batch["input_ids"].shape[1], options.get("num_return_sequences", 1)
    assert torch.equal(found[:, :start], batch["input_ids"].repeat_interleave(number, dim=0))
    assert torch.equal(found[:, start:], by_hand(made, **options))


def test_sampled_answers_stand_side_by_side(made):
    torch.manual_seed(3)
    found = generate(made, do_sample=True, num_return_sequences=3)
    start = made[1]["input_ids"].shape[1]
    assert found.shape == (6, start + NEW)
    assert torch.equal(found[3:, :start], made[1]["input_ids"][1:].expand(3, -1))
    assert len(found[:3].unique(dim=0)) > 1


def test_a_dict_of_outputs_is_transformers_own(made):
    options = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    found, expected = generate(made, **options), by_hand(made, **options)
    start = made[1]["input_ids"].shape[1]
    assert torch.equal(found.sequences, generate(made))
    assert torch.equal(found["sequences"][:, start:], expected.sequences)
    assert found[0] is found.sequences
    for name in ("scores", "logits"):
        assert len(found[name]) == NEW
        for one, other in zip(found[name], expected[name], strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def loop(made, processor):
    """Greedy decoding in a loop of one's own; `processor` changes scores by the words so far."""
    model, batch = made
    ids, mask = batch["input_ids"], batch["attention_mask"]
    for _ in range(NEW):
        logits = model(ids, mask, signals=batch["signals"]).logits[:, -1]
        logits[:, model.llm.generation_config.eos_token_id] = -torch.inf  # as min_new_tokens
        new = processor(ids.masked_fill(model.placeholder_mask(ids), 0), logits).argmax(
            dim=-1, keepdim=True
        )
        ids, mask = torch.cat([ids, new], dim=1), torch.cat([mask, mask.new_ones(2, 1)], dim=1)
    return ids


@pytest.mark.parametrize(
    ("options", "processor"),
    [
        ({"repetition_penalty": 3.0}, RepetitionPenaltyLogitsProcessor(3.0)),
        ({"no_repeat_ngram_size": 1}, NoRepeatNGramLogitsProcessor(1)),
        ({"no_repeat_ngram_size": 2}, NoRepeatNGramLogitsProcessor(2)),
    ],
    ids=["penalty", "no repeated word", "no repeated pair"],
)
@torch.inference_mode()
def test_what_forbids_repetition_sees_the_prompt(made, options, processor):
    found = generate(made, **options)
    assert torch.equal(found, loop(made, processor))
    if "repetition_penalty" in options:
        start = made[1]["input_ids"].shape[1]
        assert not torch.equal(found[:, start:], by_hand(made, **options))  # which sees it not


def test_lengths_count_the_prompt(made):
    start = made[1]["input_ids"].shape[1]
    options = {"max_new_tokens": None, "min_new_tokens": None}
    for more in ({"max_length": start + 3}, {"stopping_criteria": StoppingCriteriaList(
            [MaxLengthCriteria(start + 3)]), "max_length": start + 9}):  # fmt: skip
        found = generate(made, **options, min_length=start + 3, **more)
        assert torch.equal(found, generate(made)[:, : start + 3])


def test_a_generation_config_is_followed_and_the_models_own_is_the_llms(made):
    config = GenerationConfig(
        num_beams=2, num_return_sequences=2, max_new_tokens=4, do_sample=False
    )
    model, batch = made
    expected = generate(made, num_beams=2, num_return_sequences=2, min_new_tokens=None,
                        max_new_tokens=4)  # fmt: skip
    assert torch.equal(model.generate(**batch, generation_config=config), expected)
    assert model.generation_config is model.llm.generation_config


class Heard(BaseStreamer):
    def __init__(self):
        self.parts, self.ended = [], False

    def put(self, value):
        self.parts.append(value)

    def end(self):
        self.ended = True


def test_a_streamer_gets_the_prompt_with_its_placeholders_and_then_each_word(made):
    model, batch = made
    one, heard = {name: batch[name][:1] for name in ("input_ids", "attention_mask")}, Heard()
    one["signals"] = {"image": batch["signals"]["image"][:1]}
    found = model.generate(
        **one, max_new_tokens=4, min_new_tokens=4, do_sample=False, streamer=heard
    )
    assert torch.equal(heard.parts[0], one["input_ids"])
    assert torch.equal(torch.cat(heard.parts[1:]), found[0, one["input_ids"].shape[1] :])
    assert heard.ended


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("guidance_scale", 2.0),
        ("negative_prompt_ids", torch.zeros(1, 1)),
        ("encoder_repetition_penalty", 1.5),
        ("encoder_no_repeat_ngram_size", 2),
        ("inputs_embeds", torch.zeros(1, 1, 32)),
        ("position_ids", torch.zeros(1, 1)),
        ("assistant_model", torch.nn.Identity()),
        ("prompt_lookup_num_tokens", 2),
        ("assistant_early_exit", 1),
        ("prefill_chunk_size", 4),
        ("token_healing", True),
        ("custom_generate", "someone/repository"),
    ],
)
def test_what_a_prompt_with_signals_cannot_have_is_refused_by_name(made, name, value):
    with pytest.raises(PolysenseError, match=rf"generate\({name}=\.\.\.\)"):
        generate(made, **{name: value})
    if hasattr(GenerationConfig(), name):
        with pytest.raises(PolysenseError, match=name):
            generate(made, generation_config=GenerationConfig(**{name: value}))


def test_what_is_refused_may_be_given_as_what_happens_anyway(made):
    neutral = {"guidance_scale": 1.0, "encoder_no_repeat_ngram_size": 0, "token_healing": False}
    assert torch.equal(generate(made, **neutral), generate(made))


def test_a_typo_is_refused_by_name(made):
    with pytest.raises(ValueError, match="max_new_token"):
        generate(made, max_new_token=3)


def test_a_placeholder_becomes_a_word_of_its_row_and_pads_are_none():
    ids = torch.tensor([[7, 99, 5, 99], [0, 99, 6, 4], [0, 0, 99, 99]])
    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]])
    expected = [[7, 7, 5, 7], [0, 6, 6, 4], [0, 0, 0, 0]]
    assert words_only(ids, ids == 99, mask).tolist() == expected
    assert words_only(ids[:1], ids[:1] == 99, None).tolist() == expected[:1]
    signals_alone = torch.full((1, 3), 99)
    assert words_only(signals_alone, signals_alone == 99, None).tolist() == [[0, 0, 0]]


def test_signals_that_were_encoded_already_are_continued_alike(made):
    model, batch = made
    embeddings = model.encode_signals(batch["signals"])
    rest = {name: batch[name] for name in ("input_ids", "attention_mask")}
    options = {"do_sample": False, "min_new_tokens": NEW, "max_new_tokens": NEW}
    found = model.generate(**rest, embeddings=embeddings, **options)
    assert torch.equal(found, generate(made))
