"""How an LLM's own chat template writes a conversation, and where the answers stand in that.

Templates differ in what they put around a turn, in what ends an answer, and in thinking. Nothing of
it is listed by family here. It is found out by rendering a conversation with a mark in place of
an answer.

Polysense answers without thinking. Where a template opens thoughts or writes an empty block of
them, that belongs to the prompt, in training and in asking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import TemplateError

from polysense.data.chat.control_tokens import ANSWER, ControlTokens
from polysense.errors import PolysenseError

Turn = dict[str, str]  # "role" and "content", as templates take them
NO_THINKING = {"enable_thinking": False, "thinking": False}  # Qwen3 and others; DeepSeek-V3.1

THOUGHTS = {
    "<think>": "</think>",
    "<thought>": "</thought>",
    "<thinking>": "</thinking>",
    "[THINK]": "[/THINK]",
    "<|START_THINKING|>": "<|END_THINKING|>",
}


@dataclass(frozen=True)
class AnswerForm:
    """How a template leads to an answer, and from it.

    opening  what a prompt gets behind what the template writes of one: an empty block of thoughts
    lead     what stands between the prompt and the answer, learnt with it: "" or a space
    end      what the LLM is to write behind its answer
    """

    opening: str
    lead: str
    end: str


class ChatTemplate:
    """Renders conversations whose control tokens are marked (control_tokens.py)."""

    def __init__(self, text_tokenizer: Any) -> None:
        self.text_tokenizer = text_tokenizer
        self.made_of = (text_tokenizer.chat_template, len(text_tokenizer))
        self.control = ControlTokens(text_tokenizer)

    def describes(self, text_tokenizer: Any) -> bool:
        """Whether the tokenizer's template and tokens are still those this was made of."""
        return self.made_of == (text_tokenizer.chat_template, len(text_tokenizer))

    def render(self, turns: Sequence[Turn], prompt: bool = False) -> str:
        """Return the conversation as the template writes it, or as a prompt for an answer."""
        try:
            text = self.text_tokenizer.apply_chat_template(
                list(turns), tokenize=False, add_generation_prompt=prompt, **NO_THINKING
            )
        except (TemplateError, TypeError, ValueError) as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise PolysenseError(
                f"this LLM's chat template refuses a conversation of {roles}: "
                f"{' '.join(str(error).split())}"
            ) from error
        return self.begin + text if self.begin not in text else text

    def prompt(self, turns: Sequence[Turn]) -> str:
        """Return a prompt for an answer, behind whatever the template thinks."""
        return self.render(turns, prompt=True) + self.form.opening

    def continued(self, turns: Sequence[Turn]) -> str:
        """Return a prompt for more of the last turn, an answer that has begun."""
        return self.prompt(turns[:-1]) + self._last(turns, len(turns) - 1)[0]

    def whole(self, turns: Sequence[Turn]) -> tuple[str, list[tuple[int, int]]]:
        """Return the conversation, and of each answer (first, last) of what is learnt: the answer
        with its end. What stands before the last answer is what it is asked by."""
        last = max(place for place, turn in enumerate(turns) if turn["role"] == "assistant")
        before, spans = self._history(turns[:last])
        said, behind = self._last(turns, last)
        spans.append((len(before), len(before) + len(said) + self._end(behind)))
        return before + said + behind, spans

    @cached_property
    def begin(self) -> str:
        """The begin-of-text token, where this LLM's tokenizer begins each text with it."""
        tokenizer = self.text_tokenizer
        first = tokenizer.bos_token_id
        return tokenizer.bos_token if first in tokenizer("a")["input_ids"][:1] else ""

    @cached_property
    def form(self) -> AnswerForm:
        """How answers are led to and ended, found out with one question."""
        asked = {"role": "user", "content": "a"}
        prompt = self.render([asked], prompt=True)
        whole = self.render([asked, {"role": "assistant", "content": ANSWER}])
        before, found, behind = whole.partition(ANSWER)
        if not found:
            raise PolysenseError(f"this LLM's chat template leaves out the answers: {OTHER}")
        if before.startswith(prompt):
            opening = before.removeprefix(prompt).rstrip(" ")
            lead = before.removeprefix(prompt + opening)
        elif prompt.startswith(before.rstrip()):
            opening, lead = closing(prompt), ""
        else:
            raise PolysenseError(
                "this LLM's chat template asks for an answer by other words than it writes before "
                f"one: {OTHER}"
            )
        ended = behind.rstrip()
        token = self.control.first(ended)
        return AnswerForm(opening, lead, ended[: token.end()] if token else ended)

    def _history(self, turns: Sequence[Turn]) -> tuple[str, list[tuple[int, int]]]:
        """Return the prompt for the next answer, and what of the answers in it is learnt."""
        text, spans = self.prompt(turns), []
        if all(turn["role"] != "assistant" for turn in turns):
            return text, []
        asides = self.prompt(hidden(turns)).split(ANSWER)
        answers = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
        if len(asides) != len(answers) + 1:
            raise PolysenseError(
                "this LLM's chat template rewrites earlier turns, so the loss mask cannot be "
                "found: split the conversation into single turns"
            )
        length = len(asides[0])
        for number, place in enumerate(answers):
            alone = self.prompt([*hidden(turns[:place]), turns[place], *hidden(turns[place + 1 :])])
            rest = ANSWER.join(asides[number + 1 :])
            start = len(ANSWER.join(asides[: number + 1]))
            said = len(alone) - len(rest) - start  # below 0: a space before the answer was left out
            lead = self.form.lead if asides[number].endswith(self.form.lead) else ""
            stop = length + said
            spans.append((min(length - len(lead), stop), stop + self._end(asides[number + 1])))
            length = stop + len(asides[number + 1])
        if length != len(text):
            raise PolysenseError(
                "this LLM's chat template writes a turn otherwise beside others, so the loss mask "
                "cannot be found: split the conversation into single turns"
            )
        return text, spans

    def _last(self, turns: Sequence[Turn], last: int) -> tuple[str, str]:
        """Return the answer of turn `last` as the template writes it, with what leads to it and
        behind its prompt; and all behind it."""
        whole = self.render(turns)
        marked = self.render([*turns[:last], *hidden(turns[last : last + 1]), *turns[last + 1 :]])
        before, _, behind = marked.partition(ANSWER)
        before = before if whole.startswith(before) else before.rstrip()
        said = whole[len(before) : len(whole) - len(behind)]
        return (self.form.lead if before.endswith(self.form.lead) else "") + said, behind

    def _end(self, behind: str) -> int:
        """Return the length of the end of an answer, where `behind` begins with it."""
        return len(self.form.end) if behind.startswith(self.form.end) else 0


OTHER = "set model.llm.template, or mend the chat_template.jinja in the LLM's folder"


def hidden(turns: Sequence[Turn]) -> list[Turn]:
    """Return turns with a mark in place of each answer."""
    return [{**turn, "content": ANSWER} if turn["role"] == "assistant" else turn for turn in turns]


def closing(prompt: str) -> str:
    """Return what closes the thoughts that a prompt ends in; nothing where it opens none."""
    for opened, closed in THOUGHTS.items():
        if prompt.rstrip().endswith(opened):
            line = "" if prompt.endswith("\n") else "\n"
            return f"{line}\n{closed}\n\n"
    return ""
