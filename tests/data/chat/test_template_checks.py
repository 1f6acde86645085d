"""A chat template is tried before any work, and what is at fault is named."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from fixtures.families.chat_templates import FAMILIES, GEMMA_2, MISTRAL, speaks
from fixtures.tiny_model import CHAT_TEMPLATE, save_llm, tiny_config
from transformers import AutoTokenizer

from polysense.data.chat.chat_tokenizer import ChatTokenizer
from polysense.data.chat.template_checks import check_template
from polysense.errors import PolysenseError
from polysense.model.llm.load import stop_at
from polysense.training.run import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def chat_of(folder, template, system=None):
    tokenizer = speaks(AutoTokenizer.from_pretrained(folder), "chatml")
    tokenizer.chat_template = template
    return ChatTokenizer(tokenizer, {}, system)


@pytest.mark.parametrize("family", FAMILIES)
def test_templates_of_the_families_pass(folder, family):
    check_template(chat_of(folder, FAMILIES[family]), "llm")
    system = chat_of(folder, FAMILIES[family], "Look <|im_end|>")
    if family in ("gemma-2", "mistral"):
        with pytest.raises(PolysenseError, match=r"^model\.system: LLM 'llm': .*; set model\.sy"):
            check_template(system, "llm")
    else:
        check_template(system, "llm")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (CHAT_TEMPLATE.replace("<|im_end|>", ""), "writes nothing behind an answer"),
        ("{% for m in messages %}{{ m['role'] }}:<|im_end|>{% endfor %}", "leaves out the answers"),
        (
            "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}{% endif %}"
            "<|im_end|>{% endfor %}",
            "leaves out the words of the user",
        ),
        (
            CHAT_TEMPLATE.replace("messages %}", "messages[:2] %}"),
            "leaves out the words of the user",
        ),
        ("{{ raise_exception('Not today') }}", "refuses a conversation of user: Not today"),
        ("{{ messages[0]['content'][0]['text'] }}", "refuses|leaves out"),
        (MISTRAL.replace("loop.index0 % 2", "loop.index0 % 9"), "refuses .*user, assistant, user"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_with_a_way_out(folder, template, words):
    with pytest.raises(PolysenseError, match=words) as error:
        check_template(chat_of(folder, template), "some/llm")
    assert "LLM 'some/llm'" in str(error.value)
    assert "model.llm.template" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_system_message_that_is_left_out_without_a_word(folder):
    silent = "{% for m in messages if m.role != 'system' %}" + CHAT_TEMPLATE.partition("%}")[2]
    with pytest.raises(PolysenseError, match=r"model\.system: .* leaves system messages out"):
        check_template(chat_of(folder, silent, "Look."), "llm")


@pytest.mark.parametrize(("known", "found"), [(None, [1, 2]), (1, [1, 2]), ([7, 1], [7, 1, 2])])
def test_generation_stops_at_what_is_learnt(known, found):
    llm = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=known))
    stop_at(llm, [1, 2, 1])
    assert llm.generation_config.eos_token_id == found
    stop_at(llm, [2])
    assert llm.generation_config.eos_token_id == found


def test_a_template_with_an_end_of_its_own_stops_there(tmp_path):
    config = tiny_config(tmp_path / "parts", steps_scale=0.5)
    llm = Path(config.model.llm.name)
    tokenizer = AutoTokenizer.from_pretrained(llm)
    tokenizer.add_tokens(["<|eot|>"], special_tokens=True)
    tokenizer.chat_template = CHAT_TEMPLATE.replace("im_end", "eot")
    tokenizer.save_pretrained(llm)
    done = train(config, tmp_path / "run", stop_after="alignment")
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|eot|>")]
    assert done.processor.chat.ends == ends
    assert done.model.llm.generation_config.eos_token_id == ends


def test_training_says_so_before_it_makes_anything(tmp_path):
    config = tiny_config(tmp_path / "parts")
    (Path(config.model.llm.name) / "chat_template.jinja").write_text(GEMMA_2)
    config = replace(config, model=replace(config.model, system="Look."))
    with pytest.raises(PolysenseError, match=r"^model\.system: .*System role not supported"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
