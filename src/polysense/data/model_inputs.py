"""What a processor returns, and prompts that are given as text with signals beside them.

In: texts with one placeholder a signal, and signals by the names of their modalities. Out: texts
where each placeholder stands as often as its signal has embeddings, and signals in reading order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from transformers import BatchFeature

from polysense.data.chat.chat_tokenizer import Placeholder, TokenizedChat
from polysense.errors import PolysenseError, unknown_name
from polysense.types import Batch, Media, Message, Text


class ModelInputs(BatchFeature):
    """A `Batch` as transformers' processors return it: `.to(device, dtype)`, `inputs.input_ids`."""

    def to(self, *args: Any, **kwargs: Any) -> ModelInputs:
        """Move every tensor; only floating ones take on a `dtype`."""
        device = dtype = None
        for value in (*args, kwargs.get("device"), kwargs.get("dtype")):
            if isinstance(value, torch.dtype):
                dtype = value
            elif value is not None:
                device = value
        self.data = dict(Batch(self.data).to(device, dtype))
        return self


def check_options(options: Mapping[str, Any], known: Iterable[str], method: str) -> None:
    """Refuse arguments that nothing here reads; None stands for one that was not given."""
    for name, value in options.items():
        if value is not None:
            raise unknown_name(f"argument of the processor's {method}", name, known)


def check_form(return_tensors: Any, padding: Any) -> None:
    """Rows come as padded torch tensors, and in no other form."""
    if return_tensors != "pt":
        raise PolysenseError(f"return_tensors={return_tensors!r}: only 'pt' is known here")
    if padding not in (True, "longest"):
        raise PolysenseError(f"padding={padding!r}: only True is known, rows are stacked")


def given_signals(given: Mapping[str, Any], modalities: Iterable[str]) -> dict[str, Any]:
    """Return {modality: signals} of arguments called like a modality, or "images"."""
    names = {form: name for name in modalities for form in (name, f"{name}s")}
    found: dict[str, Any] = {}
    for form, value in given.items():
        if value is None:
            continue
        if form not in names:
            raise unknown_name("argument of the processor", form, names)
        if names[form] in found:
            raise PolysenseError(f"the signals of {names[form]} are given twice: name them once")
        found[names[form]] = value
    return found


def by_text(value: Any, counts: Sequence[int], token: str) -> list[list[Any]]:
    """Deal the signals of one modality out to texts that hold `counts` places for them.

    A list of lists has those of each text; else they follow one another. Texts without any place
    get one signal each, if there are as many.
    """
    nested = isinstance(value, list | tuple) and any(isinstance(v, list | tuple) for v in value)
    if nested:
        rows = [list(v) if isinstance(v, list | tuple) else [v] for v in value]
        wanted = list(counts) if any(counts) else [len(row) for row in rows]
        if [len(row) for row in rows] != wanted or len(rows) != len(counts):
            raise PolysenseError(
                f"the texts hold {list(counts)} places {token}, and {[len(r) for r in rows]} "
                "signals are given for them"
            )
        return rows
    signals = list(value) if isinstance(value, list | tuple) else [value]
    if not any(counts):
        counts = [len(signals)] if len(counts) == 1 else [1] * len(counts)
    if sum(counts) != len(signals):
        raise PolysenseError(
            f"the texts hold {sum(counts)} places {token}, and {len(signals)} signals are given: "
            f"write one {token} for each signal, where it belongs"
        )
    left = iter(signals)
    return [[next(left) for _ in range(count)] for count in counts]


def placed(
    texts: Sequence[str], given: Mapping[str, Any], placeholders: Mapping[str, Placeholder]
) -> tuple[list[str], list[dict[str, list[Any]]]]:
    """Return texts with their placeholders as often as needed, and each text's {modality: sources}.

    Signals of a modality that no text has a place for stand before the text.
    """
    texts, media = list(texts), [{} for _ in texts]
    for name, held in placeholders.items():
        counts = [text.count(held.token) for text in texts]
        if name not in given and not any(counts):
            continue
        rows = by_text(given.get(name, []), counts, held.token)
        for index, row in enumerate(rows):
            if row:
                media[index][name] = row
            if not any(counts):
                texts[index] = held.token * len(row) + texts[index]
    tokens = {held.token: held.token * held.count for held in placeholders.values()}
    pattern = re.compile("|".join(map(re.escape, tokens)))
    return [pattern.sub(lambda found: tokens[found[0]], text) for text in texts], media


def encoded_prompts(
    text_tokenizer: Any, texts: Sequence[str], special: bool
) -> list[TokenizedChat]:
    """Encode prompts as they are written; with `special`, the tokens that the tokenizer adds to a
    text come to those whose template did not write its beginning."""
    begin = text_tokenizer.bos_token
    rows = []
    for prompt in texts:
        written = bool(begin) and begin in prompt
        coded = text_tokenizer(prompt, add_special_tokens=special and not written)
        rows.append(TokenizedChat.as_prompt(coded["input_ids"]))
    return rows


def one_turn_each(
    texts: Sequence[str], media: Sequence[Mapping[str, Sequence[Any]]]
) -> list[list[Message]]:
    """Return each text with its signals as a user's turn, which is what signals are read from."""
    return [
        [
            Message(
                "user",
                (*(Media(name, source) for name, some in row.items() for source in some), Text(t)),
            )
        ]
        for t, row in zip(texts, media, strict=True)
    ]
