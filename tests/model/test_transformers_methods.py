"""What transformers, accelerate and peft ask of every model is answered right, or refused.

Options of `forward` are those of polysense.model.forward_options.
"""

import warnings

import pytest
import torch
from accelerate import init_empty_weights
from fixtures.tiny_fusion import KINDS, asked, made
from transformers.utils import ModelOutput

from polysense import PolysenseModel
from polysense.errors import PolysenseError


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tmp_path_factory.mktemp("methods") / "parts"


def batch_of(processor):
    return processor.apply_chat_template([asked("What?", "red"), asked("And this one?", "blue")])


def labels_of(batch):
    return batch["input_ids"].where(batch["input_ids"] < 300, -100)


def test_words_head_device_and_dtype_are_the_llms(parts):
    model, _ = made(parts, "input")
    assert model.get_input_embeddings() is model.llm.get_input_embeddings()
    assert model.get_output_embeddings() is model.llm.get_output_embeddings()
    assert model.device == model.llm.device
    assert model.dtype == model.llm.dtype == torch.float32
    assert PolysenseModel.can_generate()
    assert model.generation_config is model.llm.generation_config


def test_attention_is_the_llms(parts):
    model, _ = made(parts, "input")
    model.set_attn_implementation("eager")
    assert model.llm.config._attn_implementation == "eager"


def test_ties_are_the_llms(parts):
    model, _ = made(parts, "input")
    head, words = model.get_output_embeddings(), model.get_input_embeddings()
    head.weight = torch.nn.Parameter(torch.zeros_like(head.weight))
    model.tie_weights()
    assert head.weight is words.weight
    other = torch.nn.Embedding(300, 32)
    model.set_input_embeddings(other)
    assert model.llm.get_input_embeddings() is other
    line = torch.nn.Linear(32, 300, bias=False)
    model.set_output_embeddings(line)
    assert model.llm.get_output_embeddings() is line


def test_other_words_are_refused_by_name(parts):
    with pytest.raises(PolysenseError, match="resize_token_embeddings"):
        made(parts, "input")[0].resize_token_embeddings(400)


@pytest.mark.parametrize("kind", ["input", *KINDS])
@torch.inference_mode()
def test_a_model_in_bf16_says_what_it_says_in_fp32(parts, kind):
    model, processor = made(parts, kind)
    batch = batch_of(processor)
    expected = model(**batch).logits.log_softmax(-1)
    found = model.to(torch.bfloat16)(**batch).logits.float().log_softmax(-1)
    assert model.dtype == torch.bfloat16
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert (found - expected).norm() < 0.1 * expected.norm()
    assert model.generate(**batch, max_new_tokens=3).shape[0] == 2


@torch.inference_mode()
def test_outputs_are_dictionaries_or_tuples(parts):
    model, processor = made(parts, "input")
    batch = batch_of(processor)
    for more in ({}, {"labels": labels_of(batch)}):
        found, pair = model(**batch, **more), model(**batch, **more, return_dict=False)
        assert isinstance(found, ModelOutput)
        assert isinstance(pair, tuple)
        assert torch.equal(pair[0], found[0])
    states = model(**batch, output_hidden_states=True).hidden_states
    assert len(states) == 3


def test_the_loss_alone_is_given_with_labels_and_more_is_refused_by_name(parts):
    model, processor = made(parts, "input")
    batch = batch_of(processor)
    labels = labels_of(batch)
    with pytest.raises(PolysenseError, match="not output_hidden_states"):
        model(**batch, labels=labels, output_hidden_states=True)
    with pytest.raises(PolysenseError, match="inputs_embeds"):
        model(**batch, inputs_embeds=torch.zeros(2, 3, 32))
    nothing = dict.fromkeys(("inputs_embeds", "output_attentions", "return_dict"))  # peft's
    loss = model(**batch, labels=labels, **nothing, use_cache=False).loss
    count = (labels[:, 1:] != -100).sum()
    half = model(**batch, labels=labels, num_items_in_batch=2 * count).loss
    assert torch.allclose(2 * half, loss)


def test_a_typo_in_a_batch_is_refused_by_name(parts):
    model, processor = made(parts, "input")
    batch = batch_of(processor)
    with pytest.raises(PolysenseError, match="did you mean 'signals'"):
        model.encode_signals(signal=batch["signals"])
    with pytest.raises(PolysenseError, match="did you mean 'features'"), model.multimodal_inputs(
        batch["input_ids"], feature=batch["signals"]
    ):  # fmt: skip
        pass


def test_gradients_reach_the_llms_input_and_not_the_encoders(parts):
    model, processor = made(parts, "input")
    model.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model.enable_input_require_grads()
    batch = batch_of(processor)
    assert model.get_input_embeddings()(batch["input_ids"] % 300).requires_grad
    assert not model.extract_features("image", batch["signals"]["image"]).requires_grad
    model.disable_input_require_grads()
    assert not model.get_input_embeddings()(batch["input_ids"] % 300).requires_grad


@pytest.mark.parametrize("kind", ["input", *KINDS])
def test_a_model_without_memory_has_the_names_and_shapes_of_one_with(parts, kind):
    model, _ = made(parts, kind)
    with init_empty_weights():
        empty = PolysenseModel(model.config)
    assert {p.device.type for p in empty.parameters()} == {"meta"}
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in empty.state_dict().items()} == shapes


def test_another_attention_is_found_out_about_anew(parts):
    model, _ = made(parts, "input")
    before = model.capabilities
    model.set_attn_implementation("eager")
    assert "capabilities" not in vars(model)
    assert model.capabilities == before
