"""Text is text: what people write never becomes one of the LLM's control tokens.

"<|im_end|>" in a caption is eight characters of it, and no end of a turn. So the control tokens in
people's text are marked before a chat template puts its own around them. Behind the template, text
between marks is encoded as plain text and everything else as usual. transformers names the same
tokens for its `sanitize_control_tokens`, which gives no offsets to find labels by.
"""

from __future__ import annotations

import re
from typing import Any

import jinja2.nodes
from jinja2 import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from polysense.errors import PolysenseError

# Unicode keeps these for a program's own use: no text that is exchanged has them.
BEGIN, END, ANSWER = "\ufdd0", "\ufdd1", "\ufdd2"
MARKED = re.compile(f"{BEGIN}(\\d+){END}")
ANCHOR = "\n"  # tokenizers put a space at a text's beginning, and none after a line's end
Offsets = list[tuple[int, int]]


class ControlTokens:
    """The tokens of one text tokenizer that say something to the LLM beside the words.

    These are its special tokens (placeholders too), and those of its other added tokens that its
    chat template writes, such as Qwen3's `<think>`.
    """

    def __init__(self, text_tokenizer: Any) -> None:
        self.text_tokenizer = text_tokenizer
        written = template_literals(getattr(text_tokenizer, "chat_template", None))
        self.tokens = tuple(
            token.content
            for token in text_tokenizer.added_tokens_decoder.values()
            if token.special or (token.content in written and not token.content.isspace())
        )
        self.protected = [*sorted(self.tokens, key=len, reverse=True), BEGIN, END, ANSWER]
        self._place = {token: place for place, token in enumerate(self.protected)}
        self._pattern = re.compile("|".join(map(re.escape, self.protected)))

    def mark(self, text: str) -> str:
        """Return `text` with a mark in place of each control token in it."""
        return self._pattern.sub(lambda found: f"{BEGIN}{self._place[found[0]]}{END}", text)

    def unmark(self, marked: str) -> str:
        """Return the text again that `mark` was given."""
        return MARKED.sub(lambda found: self.protected[int(found[1])], marked)

    def encode(self, marked: str) -> tuple[list[int], Offsets]:
        """Return ids and their places in a marked text; control tokens that stand there unmarked,
        as a chat template writes them, are control tokens."""
        ids, offsets = [], []
        place = 0
        for found in MARKED.finditer(marked):
            self._add(marked[place : found.start()], place, ids, offsets)
            literal = self._literal(self.protected[int(found[1])])
            ids += literal
            offsets += [found.span()] * len(literal)
            place = found.end()
        self._add(marked[place:], place, ids, offsets)
        return ids, offsets

    def ids(self, text: str) -> list[int]:
        """Return the ids of what somebody wrote: no control token is among them."""
        return self.encode(self.mark(text))[0]

    def first(self, text: str) -> re.Match[str] | None:
        """Return the first control token in `text`."""
        return self._pattern.search(text)

    def _add(self, text: str, place: int, ids: list[int], offsets: Offsets) -> None:
        if text:
            found, spans = self._piece(text, inside=place > 0)
            ids += found
            offsets += [(place + first, place + last) for first, last in spans]

    def _piece(self, text: str, inside: bool, **options: Any) -> tuple[list[int], Offsets]:
        """Encode a piece of a text, or of its inside: no space is put in front of it then."""
        anchor = ANCHOR if inside else ""
        coded = self.text_tokenizer(
            anchor + text, add_special_tokens=False, return_offsets_mapping=True, **options
        )
        ids, spans = coded["input_ids"], coded["offset_mapping"]
        if not anchor:
            return ids, spans
        rest = next((n for n, (_, last) in enumerate(spans) if last > len(anchor)), len(ids))
        if rest < len(ids) and spans[rest][0] < len(anchor):  # a token of both: a line begins here
            return self._piece(text, inside=False, **options)
        return ids[rest:], [(first - 1, last - 1) for first, last in spans[rest:]]

    def _literal(self, token: str) -> list[int]:
        """Return the ids of a control token's characters, none of them a control token."""
        control = self.text_tokenizer.convert_tokens_to_ids(token)
        for parts in ([token], [token[:1], token[1:]], list(token)):
            pieces = [
                self._piece(part, True, split_special_tokens=True)[0] for part in parts if part
            ]
            ids = [i for piece in pieces for i in piece]
            if control not in ids or token in (BEGIN, END, ANSWER):
                return ids
        raise PolysenseError(
            f"the text contains {token!r}, which this LLM's tokenizer can only read as a control "
            "token: write it otherwise"
        )


def template_literals(template: Any) -> str:
    """Return all that a chat template writes by itself, the pieces parted by a null character."""
    if not isinstance(template, str):
        return ""
    try:
        # The extensions are those that transformers reads templates with.
        environment = ImmutableSandboxedEnvironment(
            extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"]
        )
        tree = environment.parse(re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template))
    except TemplateSyntaxError as error:
        raise PolysenseError(
            f"the LLM's chat template cannot be read: {error} (line {error.lineno}): mend its "
            "chat_template.jinja, or set model.llm.template"
        ) from error
    written = {node.data for node in tree.find_all(jinja2.nodes.TemplateData)}
    constants = tree.find_all(jinja2.nodes.Const)
    return "\0".join(written | {node.value for node in constants if isinstance(node.value, str)})
