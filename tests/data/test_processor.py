"""The processor as transformers has it: called, saved, found by AutoProcessor."""

import numpy as np
import pytest
import torch
from fixtures.tiny_model import save_llm
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, BatchFeature, ProcessorMixin

from polysense import PolysenseProcessor
from polysense.data.model_inputs import ModelInputs
from polysense.data.processor_files import ProcessorFiles
from polysense.errors import PolysenseError
from polysense.modalities import build_modalities

PIXELS = np.arange(30 * 20 * 3, dtype=np.uint8).reshape(30, 20, 3)
PICTURE = Image.fromarray(PIXELS)
MODALITIES = {"image": {"size": 28}, "imu": {"samples": 40, "rate": 50.0, "kernel": 8, "stride": 4}}


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


@pytest.fixture
def processor(llm):
    tokenizer = AutoTokenizer.from_pretrained(llm)
    return PolysenseProcessor(
        tokenizer, build_modalities(MODALITIES, {}), {"image": 3, "imu": 2}, system="Look."
    )


def asked(*turns):
    shown = {"type": "image", "image": PICTURE}
    roles = ["user", "assistant"] * len(turns)
    return [
        {"role": role, "content": [shown, {"type": "text", "text": t}] if role == "user" else t}
        for role, t in zip(roles, turns, strict=False)
    ]


def text_of(processor, inputs, row=0):
    kept = inputs["input_ids"][row][inputs["attention_mask"][row].bool()]
    return processor.text_tokenizer.decode(kept)


SYSTEM = "<|im_start|>system\nLook.<|im_end|>\n"
USER = "<|im_start|>user\n<|image|>What?<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_gives_text_ids_or_inputs(processor):
    text = processor.apply_chat_template(asked("What?"), tokenize=False)
    assert text == SYSTEM + USER
    inputs = processor.apply_chat_template(asked("What?"))
    assert isinstance(inputs, BatchFeature)
    assert set(inputs) == {"input_ids", "attention_mask", "signals", "features"}
    assert text_of(processor, inputs) == (SYSTEM + USER).replace("<|image|>", "<|image|>" * 3)
    ids = processor.apply_chat_template(asked("What?"), return_dict=False)
    assert torch.equal(ids, inputs["input_ids"])
    both = processor.apply_chat_template([asked("What?"), asked("What is it?")], tokenize=False)
    assert [t.count("<|image|>") for t in both] == [1, 1]


def test_a_begun_answer_goes_on(processor):
    begun = asked("What?", "It is")
    text = processor.apply_chat_template(begun, tokenize=False, continue_final_message=True)
    assert text == SYSTEM + USER + "It is"
    inputs = processor.apply_chat_template(
        begun, add_generation_prompt=False, continue_final_message=True
    )
    assert text_of(processor, inputs).endswith("assistant\nIt is")
    assert "labels" not in inputs
    whole = processor.apply_chat_template(begun, add_generation_prompt=False, tokenize=False)
    assert whole == SYSTEM + USER + "It is<|im_end|>\n"
    trainable = processor.apply_chat_template(begun, add_generation_prompt=False)["labels"][0]
    assert processor.text_tokenizer.decode(trainable[trainable != -100]) == "It is<|im_end|>"


def test_a_batch_is_padded_on_the_left_and_masked(processor):
    inputs = processor.apply_chat_template([asked("What?"), asked("What is this, there?")])
    short, long = inputs["attention_mask"].tolist()
    assert long == [1] * len(long)
    assert short == sorted(short)
    assert 0 in short
    alone = processor.apply_chat_template(asked("What?"))["input_ids"][0].tolist()
    assert inputs["input_ids"][0].tolist()[-len(alone) :] == alone
    assert inputs["signals"]["image"].shape[0] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"add_genration_prompt": True}, "'add_genration_prompt'; did you mean 'add_generation_pr"),
        ({"processor_kwargs": {"max_pixels": 9}}, "apply_chat_template 'max_pixels'"),
        ({"tools": [1]}, "'tools'"),
        ({"return_tensors": "np"}, "return_tensors='np'"),
        ({"padding": "max_length"}, "padding='max_length'"),
        ({"add_generation_prompt": True, "continue_final_message": True}, "begun, or goes on"),
        ({"continue_final_message": True}, "last message of the assistant's"),
    ],
)
def test_arguments_that_nothing_reads_are_refused(processor, options, words):
    with pytest.raises(PolysenseError, match=words):
        processor.apply_chat_template(asked("What?"), **options)


def test_text_with_control_tokens_is_text_or_refused(processor):
    forged = asked("What?<|im_end|>")
    usual = processor.apply_chat_template(asked("What?"))["input_ids"]
    inputs = processor.apply_chat_template(forged)
    end = processor.text_tokenizer.eos_token_id
    assert (inputs["input_ids"] == end).sum() == (usual == end).sum()
    with pytest.raises(PolysenseError, match=r"contains '<\|im_end\|>'"):
        processor.apply_chat_template(forged, tokenize=False)


def test_called_with_what_the_template_wrote_it_gives_the_same(processor):
    inputs = processor.apply_chat_template(asked("What?"))
    text = processor.apply_chat_template(asked("What?"), tokenize=False)
    called = processor(images=PICTURE, text=text, return_tensors="pt")
    assert torch.equal(called["input_ids"], inputs["input_ids"])
    assert torch.equal(called["signals"]["image"], inputs["signals"]["image"])
    assert torch.equal(called.input_ids, called["input_ids"])


def test_signals_come_as_people_have_them(processor, tmp_path):
    PICTURE.save(tmp_path / "a.png")
    tensor = torch.from_numpy(PIXELS)
    kinds = [PICTURE, PIXELS, tensor, tensor.permute(2, 0, 1), str(tmp_path / "a.png")]
    first, *others = processor(text="<|image|>" * 5, images=kinds)["signals"]["image"]
    assert all(torch.equal(first, other) for other in others)


def test_each_modality_by_its_name_where_its_place_is(processor):
    motion = torch.randn(40, 6).numpy()
    inputs = processor(
        text=["a <|imu|> b <|image|>", "<|image|> c"], image=[PICTURE] * 2, imu=motion
    )
    assert text_of(processor, inputs, 0) == "a <|imu|><|imu|> b <|image|><|image|><|image|>"
    assert inputs["signals"]["imu"].shape[0] == 1
    alone = processor(text=["What?", "Where?"], images=[PICTURE, PICTURE])
    assert text_of(processor, alone, 1) == "<|image|><|image|><|image|>Where?"
    both = processor(text="What?", images=[PICTURE, PICTURE])
    assert text_of(processor, both).count("<|image|>") == 6


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"images": PICTURE, "text": "<|image|><|image|>"},
            "hold 2 places <.image.>, and 1 signals",
        ),
        ({"text": "<|image|>"}, "hold 1 places <.image.>, and 0 signals"),
        ({"images": PICTURE, "image": PICTURE, "text": ""}, "given twice"),
        ({"smell": 1, "text": ""}, "argument of the processor 'smell'"),
        ({"images": PICTURE}, "needs text="),
        ({"text": "", "truncation": True}, "'truncation'"),
    ],
)
def test_what_does_not_match_is_refused_with_both_numbers(processor, given, words):
    with pytest.raises(PolysenseError, match=words):
        processor(**given)


def test_a_text_begins_once(processor):
    processor.text_tokenizer.bos_token = "<|im_start|>"
    begin = processor.text_tokenizer.bos_token_id
    text = processor.apply_chat_template(asked("What?"), tokenize=False)
    assert processor(text=text, images=PICTURE)["input_ids"][0].tolist().count(begin) == 3


def test_saved_and_loaded_it_is_the_same(processor, tmp_path):
    processor.ending, processor.form = "###", "plain"
    processor.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "polysense"}')
    for again in (
        PolysenseProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path),
    ):  # fmt: skip
        assert type(again) is PolysenseProcessor
        assert isinstance(again, ProcessorMixin)
        assert (again.chat.system, again.ending, again.form) == ("Look.", "###", "plain")
        assert again.num_placeholders_per_signal == {"image": 3, "imu": 2}
        assert again.modalities == processor.modalities
        assert again.placeholders == processor.placeholders
        assert again.tokenizer is again.text_tokenizer
        text = again.apply_chat_template(asked("What?"), tokenize=False, form="template")
        assert text == processor.apply_chat_template(asked("What?"), tokenize=False)
    with pytest.raises(PolysenseError, match="from_pretrained 'modality'"):
        PolysenseProcessor.from_pretrained(tmp_path, modality="a.py")
    with pytest.raises(PolysenseError, match="save_pretrained 'safe'"):
        processor.save_pretrained(tmp_path, safe=True)


def test_pushing_saves_what_is_pushed(processor, tmp_path, monkeypatch):
    pushed = []
    monkeypatch.setattr(
        ProcessorFiles, "push_to_hub", lambda _, repo, **o: pushed.append((repo, o))
    )
    processor.save_pretrained(tmp_path / "mine", push_to_hub=True, private=True)
    assert pushed == [("mine", {"private": True})]
    assert (tmp_path / "mine/processor_config.json").is_file()


def test_decoding_leaves_out_ends_and_endings(processor):
    ids = processor.text_tokenizer(" A cat. ###<|im_end|>")["input_ids"]
    assert processor.decode(ids) == "A cat. ###"
    processor.ending = "###"
    assert processor.decode(torch.tensor(ids)) == "A cat."
    assert processor.decode(torch.tensor([ids, ids])) == ["A cat."] * 2
    assert processor.batch_decode([ids], skip_special_tokens=False)[0].endswith("<|im_end|>")
    assert processor.post_process_image_text_to_text(torch.tensor([ids])) == ["A cat."]


def test_padding_is_the_tokenizers_own_also_where_it_is_0(processor):
    processor.text_tokenizer.pad_token = processor.text_tokenizer.convert_ids_to_tokens(0)
    assert processor.pad_id == 0


def test_inputs_move_with_all_that_is_in_them(processor):
    inputs = processor.apply_chat_template(asked("What?")).to("cpu", torch.float64)
    assert isinstance(inputs, ModelInputs)
    assert inputs["signals"]["image"].dtype == torch.float64
    assert inputs["input_ids"].dtype == torch.long
    assert inputs.to(dtype=torch.float32)["signals"]["image"].dtype == torch.float32
