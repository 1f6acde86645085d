"""Whatever was tuned comes back: saving finds what differs from the LLM and encoder referred to.

What loading could not repeat is refused, by name, when the model is saved.
"""

import copy
import json

import pytest
import torch
from fixtures.tiny_model import tiny_config
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from polysense import PolysenseModel
from polysense.errors import PolysenseError
from polysense.model.llm.adapters import adapter_layers, merge_lora
from polysense.model.llm.load import load_llm
from polysense.training.run import build, resolve


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    torch.manual_seed(0)
    config = resolve(tiny_config(tmp_path_factory.mktemp("changed") / "parts"))
    model, processor = build(config)
    shown = {"type": "image", "image": Image.new("RGB", (30, 20), "red")}
    said = [{"role": "user", "content": [shown, {"type": "text", "text": "What?"}]}]
    return model.eval(), processor.apply_chat_template(said)


@pytest.fixture
def made(built):
    return copy.deepcopy(built[0]), built[1]


def parameter(model, end):
    return next(p for n, p in model.named_parameters() if n.endswith(end))


def shift(tensor):
    with torch.no_grad():
        tensor += 0.1 * torch.randn_like(tensor)


def tune_all(model, batch):
    """Two steps of a loop of one's own, everything unfrozen, gradients put in by hand."""
    model.requires_grad_(True)
    labels = batch["input_ids"].where(batch["input_ids"] < 300, -100)
    for _ in range(2):
        model.zero_grad()
        model(**batch, labels=labels).loss.backward()
        for weight in model.parameters():
            if weight.grad is not None:
                weight.data -= 0.1 * weight.grad  # past autograd's count of versions


CHANGES = {
    "everything": tune_all,
    "one LLM weight": lambda model, _: shift(parameter(model, "1.mlp.up_proj.weight")),
    "a norm of the LLM": lambda model, _: shift(parameter(model, "llm.model.norm.weight")),
    "tied words": lambda model, _: shift(model.get_input_embeddings().weight),
    "one element": lambda model, _: parameter(model, "0.mlp.up_proj.weight").data[3, 4].add_(0.5),
    "below a LoRA": lambda model, _: shift(
        parameter(model, "0.self_attn.q_proj.base_layer.weight")
    ),
    "a LoRA": lambda model, _: shift(parameter(model, "lora_B.polysense.weight")),
    "an encoder weight": lambda model, _: shift(parameter(model.encoder, "1.mlp.fc1.bias")),
    "the whole encoder": lambda model, _: [shift(p) for p in model.encoder.parameters()],
    "the connector": lambda model, _: [shift(p) for p in model.connector.parameters()],
    "nothing": lambda model, _: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_written_and_comes_back(made, tmp_path, change):
    model, batch = made
    frozen = {n: t.clone() for n, t in model.state_dict().items()}
    torch.manual_seed(2)
    CHANGES[change](model, batch)
    model.save_pretrained(tmp_path / "saved")
    again = PolysenseModel.from_pretrained(tmp_path / "saved")
    expected = model.state_dict()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert torch.equal(again(**batch).logits, model(**batch).logits)
    written = load_file(tmp_path / "saved/model.safetensors")
    tied = "llm.lm_head.weight"
    moved = {n for n, t in expected.items() if not torch.equal(t, frozen[n])} - {tied}
    kept = {n for n in frozen if n.startswith("connector.") or ".lora_" in n}
    assert set(written) - {"llm.model.embed_tokens.weight", tied} == (moved | kept) - {
        "llm.model.embed_tokens.weight"
    }
    assert (change == "nothing") == (not moved)


def test_a_second_save_of_what_was_loaded_loses_nothing(made, tmp_path):
    model, batch = made
    CHANGES["one LLM weight"](model, batch)
    CHANGES["an encoder weight"](model, batch)
    model.save_pretrained(tmp_path / "first")
    PolysenseModel.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    again = PolysenseModel.from_pretrained(tmp_path / "second")
    assert torch.equal(again(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize("include_frozen", [False, True])
def test_a_model_without_notes_of_its_references_is_not_refused_when_loaded(
    made, tmp_path, include_frozen
):
    model, batch = made
    model.config.fingerprints = {}
    tune_all(model, batch)
    model.save_pretrained(tmp_path / "saved", include_frozen=include_frozen)
    values = json.loads((tmp_path / "saved/config.json").read_text())
    assert values["include_frozen"] is include_frozen
    again = PolysenseModel.from_pretrained(tmp_path / "saved")
    assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_a_buffer_is_a_weight_too(made, tmp_path):
    model = made[0]
    name = next(name for name, _ in model.encoder.named_buffers())
    network = model.encoder.network.embeddings
    assert name.endswith("position_ids")
    network.register_buffer("position_ids", network.position_ids.flip(-1), persistent=True)
    with pytest.raises(PolysenseError, match=r"encoder is not built any more .*position_ids"):
        model.save_pretrained(tmp_path / "saved")


def test_lora_that_was_merged_for_good_is_in_the_weights(made, tmp_path):
    model, batch = made
    for layer in adapter_layers(model.llm):
        nn.init.normal_(layer.lora_B["polysense"].weight, std=0.3)
    merge_lora(model.llm)
    model.save_pretrained(tmp_path / "saved")
    again = PolysenseModel.from_pretrained(tmp_path / "saved")
    assert again.config.parts.llm.lora is None
    assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_lora_that_would_act_twice_is_refused(made, tmp_path):
    model, _ = made
    for layer in adapter_layers(model.llm):
        layer.merge()
    with pytest.raises(PolysenseError, match="merged and still there"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def untie(model):
    model.llm.lm_head.weight = nn.Parameter(model.llm.lm_head.weight.detach() + 1)


def enlarge(model):
    model.llm.resize_token_embeddings(310)


def replace_layer(model):
    model.llm.model.layers[0].mlp.act_fn = nn.Linear(64, 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (untie, r"llm\.model\.embed_tokens\.weight and llm\.lm_head\.weight are tied"),
        (enlarge, r"llm is not built any more .*embed_tokens\.weight"),
        (replace_layer, r"llm is not built any more .*act_fn"),
    ],
)
def test_what_loading_could_not_repeat_is_refused_by_name(made, tmp_path, change, message):
    change(made[0])
    with pytest.raises(PolysenseError, match=message):
        made[0].save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_model_that_was_cast_down_holds_the_same_weights(made, tmp_path):
    model, _ = made
    model.to(torch.bfloat16).save_pretrained(tmp_path / "saved")
    names = set(load_file(tmp_path / "saved/model.safetensors"))
    assert all(name.startswith("connector.") or ".lora_" in name for name in names)


def test_a_reference_that_is_gone_is_named(made, tmp_path):
    model = made[0]
    model.config.model = copy.deepcopy(model.config.model)
    model.config.model["llm"]["name"] = str(tmp_path / "gone")
    with pytest.raises(PolysenseError, match=r"saving compares the llm .*gone"):
        model.save_pretrained(tmp_path / "saved")


def test_saving_draws_no_random_numbers(made, tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    made[0].save_pretrained(tmp_path / "saved")
    assert torch.equal(torch.rand(3), expected)


def test_how_the_llm_generates_comes_back_where_it_was_changed(made, tmp_path):
    model, _ = made
    model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved/generation_config.json").exists()
    model.generation_config.num_beams = 3
    model.save_pretrained(tmp_path / "saved")
    again = PolysenseModel.from_pretrained(tmp_path / "saved")
    assert again.llm.generation_config.num_beams == 3
    again.generation_config = load_llm(model.config.parts.llm, torch.float32).generation_config
    again.save_pretrained(tmp_path / "saved")
    assert PolysenseModel.from_pretrained(tmp_path / "saved").generation_config.num_beams is None
