"""A chat template is tried before any work, and what is at fault is named."""

from dataclasses import replace
from pathlib import Path

import pytest
from families import FAMILIES, GEMMA_2, MISTRAL, speaks
from tiny import CHAT_TEMPLATE, save_llm, tiny_config
from transformers import AutoTokenizer

from polysense.data.chat import ChatEncoder
from polysense.data.template_checks import check_template
from polysense.errors import PolysenseError
from polysense.training.run import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def chat_of(folder, template, system=None):
    tokenizer = speaks(AutoTokenizer.from_pretrained(folder), "chatml")
    tokenizer.chat_template = template
    return ChatEncoder(tokenizer, {}, system)


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


def test_training_says_so_before_it_makes_anything(tmp_path):
    config = tiny_config(tmp_path / "parts")
    (Path(config.model.llm.name) / "chat_template.jinja").write_text(GEMMA_2)
    config = replace(config, model=replace(config.model, system="Look."))
    with pytest.raises(PolysenseError, match=r"^model\.system: .*System role not supported"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
