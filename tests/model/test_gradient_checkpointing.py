"""Recomputed layers give the gradients of kept ones, in every interaction, and keep less."""

import warnings

import pytest
import torch
from fixtures.tiny_fusion import KINDS, asked, config_of, made

from polysense.config import LoraConfig
from polysense.errors import PolysenseError
from polysense.model.fusion.llm_hooks import decoder_layers
from polysense.training.run import build, resolve

ALL = ["input", *KINDS]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tmp_path_factory.mktemp("recomputation") / "parts"


def batch_of(processor):
    inputs = processor.apply_chat_template(
        [asked("What is this?", "red"), asked("And these two?", "blue", "green")]
    )
    return {**inputs, "labels": inputs["input_ids"].where(inputs["input_ids"] < 300, -100)}


def enable(model, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers' own: an alias of a new name
        model.gradient_checkpointing_enable(**options)


def disable(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # as in `enable`
        model.gradient_checkpointing_disable()


def gradients(model, batch, through="labels"):
    model.zero_grad()
    model.requires_grad_(True)
    model.encoder.requires_grad_(False)
    torch.manual_seed(5)
    if through == "labels":
        model(**batch).loss.backward()
    else:
        batch = {name: value for name, value in batch.items() if name != "labels"}
        model(**batch).logits.square().mean().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def calls_in(layers, run):
    """How often the layers compute while `run` does."""
    calls = []
    hooks = [layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1)) for layer in layers]
    found = run()
    for hook in hooks:
        hook.remove()
    return len(calls), found


@pytest.mark.parametrize("through", ["labels", "logits"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ALL)
def test_gradients_are_equal_and_layers_compute_twice(parts, kind, training, through):
    model, processor = made(parts, kind)
    model.train(training)
    batch, layers = batch_of(processor), decoder_layers(model.llm)
    gradients(model, batch, through)  # tries the LLM out, once (probe.py)
    once, expected = calls_in(layers, lambda: gradients(model, batch, through))
    enable(model)
    twice, found = calls_in(layers, lambda: gradients(model, batch, through))
    assert (once, twice) == (len(layers), 2 * len(layers))
    assert found.keys() == expected.keys()
    assert any(name.startswith("fusion.") for name in found) == (kind != "input")
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name
    disable(model)
    assert calls_in(layers, lambda: gradients(model, batch, through))[0] == once


def test_a_second_batch_between_forward_and_backward_changes_nothing(parts):
    model, processor = made(parts, "llama_adapter")
    batch = batch_of(processor)
    other = {**batch, "signals": {"image": -batch["signals"]["image"]}}
    expected = gradients(model, batch)
    enable(model)
    model.zero_grad()
    loss = model(**batch).loss
    model(**other)
    with model.multimodal_inputs(other["input_ids"], other["signals"]):
        loss.backward()
    for name, gradient in expected.items():
        assert torch.equal(model.get_parameter(name).grad, gradient), name


def test_adapters_with_dropout_draw_the_same_again(parts):
    config = config_of(parts, "input")
    object.__setattr__(config.model.llm, "lora", LoraConfig(rank=2, dropout=0.5))
    model, processor = build(resolve(config))
    model.train()
    batch = batch_of(processor)
    expected = gradients(model, batch)
    enable(model)
    found = gradients(model, batch)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_generation_and_caches_are_as_before(parts):
    model, processor = made(parts, "llama_adapter")
    batch = {k: v for k, v in batch_of(processor).items() if k != "labels"}
    expected = model.generate(**batch, max_new_tokens=5, do_sample=False)
    enable(model)
    assert torch.equal(model.generate(**batch, max_new_tokens=5, do_sample=False), expected)
    cached = model(**batch, use_cache=True)
    assert cached.past_key_values.get_seq_length() == batch["input_ids"].shape[1]
    cached.logits.sum().backward()
    assert cached.past_key_values.get_seq_length() == batch["input_ids"].shape[1]


def test_switching_on_twice_and_every_second_layer(parts):
    model, processor = made(parts, "input")
    batch, layers = batch_of(processor), decoder_layers(model.llm)
    gradients(model, batch)
    enable(model)
    enable(model, every_n_layers=2)
    assert calls_in(layers, lambda: gradients(model, batch))[0] == len(layers) + 1
    disable(model)
    assert calls_in(layers, lambda: gradients(model, batch))[0] == len(layers)


def test_the_reentrant_kind_is_refused_by_name(parts):
    with pytest.raises(PolysenseError, match="use_reentrant"):
        enable(made(parts, "input")[0], gradient_checkpointing_kwargs={"use_reentrant": True})
