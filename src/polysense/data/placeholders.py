"""Placeholders: the special token that holds a signal's place in the text, one a modality."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from transformers import AddedToken


def placeholder_token(modality: str) -> str:
    """Return the text that holds the place of a signal, as users see it in a rendered prompt."""
    return f"<|{modality}|>"


def add_placeholders(text_tokenizer: Any, modalities: Iterable[str]) -> dict[str, int]:
    """Give the tokenizer one special token per modality; return {modality: id}."""
    tokens = {name: placeholder_token(name) for name in modalities}
    text_tokenizer.add_tokens([AddedToken(token, special=True) for token in tokens.values()])
    return {name: text_tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}
