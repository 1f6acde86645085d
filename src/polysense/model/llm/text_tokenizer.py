"""The LLM's text tokenizer, checked: end-of-text token, chat template, character offsets."""

from __future__ import annotations

from transformers import AutoTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from polysense.errors import PolysenseError
from polysense.model.hub import load_pretrained


def load_instruction_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer in whose ids a connector reads what the user says."""
    tokenizer = load_pretrained(
        "connector.instruction_tokenizer", AutoTokenizer.from_pretrained, name, None
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_text_tokenizer(
    name: str, revision: str | None = None, template: str | None = None
) -> PreTrainedTokenizerBase:
    """Load the LLM's tokenizer; it must bring an end-of-text token and a chat template, unless
    `template`, in Jinja, is to stand for it."""
    tokenizer = load_pretrained("tokenizer of LLM", AutoTokenizer.from_pretrained, name, revision)
    if template is not None:
        tokenizer.chat_template = template
    if not getattr(tokenizer, "chat_template", None):
        raise PolysenseError(
            f"LLM {name!r} has no chat template: use its instruct or chat variant, put a "
            "chat_template.jinja into the folder, or set model.llm.template"
        )
    if tokenizer.eos_token_id is None:
        raise PolysenseError(f"LLM {name!r} has no end-of-text token: set eos_token in its folder")
    if not tokenizer.is_fast:
        raise PolysenseError(
            f"LLM {name!r} has only a slow tokenizer: a tokenizer.json is needed, because the loss "
            "mask is made from character offsets"
        )
    return tokenizer
