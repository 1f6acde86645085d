"""A run's LoRA and peft: nothing of it is lost by another adapter, or by peft's functions."""

import copy
from dataclasses import replace

import pytest
import torch
from fixtures.tiny_model import save_llm, tiny_config
from peft import LoraConfig as PeftLora
from peft import PeftModel, get_peft_model
from PIL import Image
from transformers import AutoModelForCausalLM, GenerationConfig

from polysense import PolysenseModel
from polysense.config import LanguageModelConfig, LoraConfig
from polysense.errors import PolysenseError
from polysense.model.llm import load
from polysense.model.llm.adapters import (
    ADAPTER,
    adapter_layers,
    check_adapters,
    merge_lora,
    save_lora,
    without_lora,
)
from polysense.model.llm.load import load_llm
from polysense.training.run import build, resolve

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tmp_path_factory.mktemp("adapters") / "parts"


def opened(model):
    torch.manual_seed(4)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    return model


@pytest.fixture
def made(parts):
    torch.manual_seed(0)
    model, processor = build(resolve(tiny_config(parts)))
    shown = {"type": "image", "image": Image.new("RGB", (30, 20), "red")}
    said = [{"role": "user", "content": [shown, {"type": "text", "text": "What?"}]}]
    return opened(model).eval(), processor.apply_chat_template(said)


def own(model):
    found = {n: t for n, t in model.state_dict().items() if f".{ADAPTER}." in n}
    assert found
    return {name.split("model.llm.")[-1].removeprefix("llm."): t for name, t in found.items()}


@pytest.mark.parametrize("task_type", [None, "CAUSAL_LM"])
@torch.inference_mode()
def test_another_adapter_learns_on_top_of_the_runs(made, task_type):
    model, batch = made
    before, logits = {n: t.clone() for n, t in own(model).items()}, model(**batch).logits
    answer = model.generate(**batch, max_new_tokens=5, do_sample=False)
    model.requires_grad_(False)  # peft leaves a model that has adapters as it is in this
    added = get_peft_model(
        model, PeftLora(r=2, target_modules=["q_proj"], task_type=task_type), "default"
    )
    assert torch.equal(added(**batch).logits, logits)  # a new adapter is nothing at first
    assert torch.equal(added.generate(**batch, max_new_tokens=5, do_sample=False), answer)
    for name, tensor in own(model).items():
        assert torch.equal(tensor, before[name])
    learning = {n for n, p in added.named_parameters() if p.requires_grad}
    assert learning
    assert {name for name in learning if ".default." not in name} == set()


def test_another_adapter_is_trained_by_the_loss(made):
    model, batch = made
    added = get_peft_model(model, PeftLora(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    added(**batch, labels=batch["input_ids"].where(batch["input_ids"] < 300, -100)).loss.backward()
    moved = {n for n, p in model.llm.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved
    assert all("lora_B.default" in name for name in moved)


@torch.inference_mode()
def test_merging_all_gives_the_same_logits_and_is_saved(made, tmp_path):
    model, batch = made
    added = opened(get_peft_model(model, PeftLora(r=2, target_modules=["q_proj"])))
    logits = added(**batch).logits
    with pytest.raises(PolysenseError, match=r"not the run's: default; save them"):
        model.save_pretrained(tmp_path / "unmerged")
    merged = added.merge_and_unload()
    assert merged is model
    assert torch.allclose(model(**batch).logits, logits, atol=1e-4)
    model.save_pretrained(tmp_path / "merged")
    again = PolysenseModel.from_pretrained(tmp_path / "merged")
    assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_a_copy_of_a_model_has_layers_of_its_own(made):
    model, batch = made
    twin = copy.deepcopy(model)
    get_peft_model(twin, PeftLora(r=2, target_modules=["q_proj"]))
    assert not [name for name in model.state_dict() if ".default." in name]
    assert torch.equal(twin(**batch).logits, model(**batch).logits)


def base_of(parts):
    return AutoModelForCausalLM.from_pretrained(parts / "llm").eval()


@torch.inference_mode()
def test_disabled_it_is_the_llm_and_merged_it_is_itself(made, parts):
    llm = made[0].llm
    logits, learning = llm(IDS).logits, {n: p.requires_grad for n, p in llm.named_parameters()}
    with without_lora(llm):
        assert torch.equal(llm(IDS).logits, base_of(parts)(IDS).logits)
    assert torch.equal(llm(IDS).logits, logits)
    assert {n: p.requires_grad for n, p in llm.named_parameters()} == learning
    merge_lora(llm)
    assert torch.allclose(llm(IDS).logits, logits, atol=1e-4)
    assert llm.state_dict().keys() == base_of(parts).state_dict().keys()


@torch.inference_mode()
def test_peft_loads_what_is_saved(made, parts, tmp_path):
    llm = made[0].llm
    save_lora(llm, tmp_path / "lora", str(parts / "llm"))
    theirs = PeftModel.from_pretrained(base_of(parts), tmp_path / "lora").eval()
    assert torch.equal(theirs(IDS).logits, llm(IDS).logits)
    with pytest.raises(PolysenseError, match="no LoRA"):
        save_lora(base_of(parts), tmp_path / "none", "")


@torch.inference_mode()
def test_the_scale_is_alpha_over_rank_and_weights_are_fp32_beside_bf16(tmp_path):
    folder = str(save_llm(tmp_path / "llm"))
    lora = LoraConfig(rank=4, alpha=12, targets=("q_proj", "v_proj"))
    config = LanguageModelConfig(folder, lora=lora)
    llm = opened(load_llm(config, torch.float32))
    layer = llm.model.layers[0].self_attn.q_proj
    x = torch.randn(5, 32)
    low, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    assert low.shape == (4, 32)
    expected = layer.base_layer(x) + 3.0 * x @ low.T @ up.T
    assert torch.allclose(layer(x), expected, atol=1e-5)
    half = load_llm(replace(config, lora=lora), torch.bfloat16)
    kinds = {n: p.dtype for n, p in half.named_parameters()}
    assert {kind for n, kind in kinds.items() if "lora_" in n} == {torch.float32}
    assert {kind for n, kind in kinds.items() if "lora_" not in n} == {torch.bfloat16}
    assert not any(p.requires_grad for p in half.parameters())
    plain = load_llm(LanguageModelConfig(folder), torch.float32)
    assert not plain.training
    assert not any(p.requires_grad for p in plain.parameters())
    settings = GenerationConfig(eos_token_id=[7, 5], pad_token_id=None)
    settings.save_pretrained(folder)
    assert load_llm(LanguageModelConfig(folder), torch.float32).generation_config.pad_token_id == 7
    with pytest.raises(PolysenseError, match="names no layer of this LLM: nowhere"):
        load_llm(replace(config, lora=replace(lora, targets=("nowhere",))), torch.float32)


def test_a_merged_adapter_that_is_still_there_is_not_saved(made):
    model, _ = made
    for layer in adapter_layers(model.llm):
        layer.merge()
    with pytest.raises(PolysenseError, match="would act twice"):
        check_adapters(model)


def test_config_and_weights_are_of_the_revision(tmp_path, monkeypatch):
    folder, revisions, read = str(save_llm(tmp_path / "llm")), [], load.load_pretrained

    def noted(what, loader, name, revision, **options):
        revisions.append(revision)
        return read(what, loader, name, None, **options)

    monkeypatch.setattr(load, "load_pretrained", noted)
    load_llm(LanguageModelConfig(folder, revision="v2"), torch.float32)
    assert revisions == ["v2", "v2"]
