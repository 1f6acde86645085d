"""An LLM's chat template is tried before any work: system message, question, answer, more turns.

What is wrong with it would else be found with the first sample that needs it, after features were
computed and stages trained.
"""

from __future__ import annotations

from polysense.data.chat.chat_tokenizer import ChatTokenizer
from polysense.data.chat.rendering import OTHER, Turn
from polysense.errors import PolysenseError

ASKED: Turn = {"role": "user", "content": "What is this?"}
AGAIN: Turn = {"role": "user", "content": "And here?"}
SAID: Turn = {"role": "assistant", "content": "A line."}


def check_template(chat: ChatTokenizer, llm: str) -> None:
    """Check that the chat template of the LLM called `llm` can write what will be needed of it.

    PolysenseError names `model.system` where only the system message is at fault.
    """
    template = chat.template
    where = f"LLM {llm!r}"
    try:
        asked = template.prompt([ASKED])
        whole, spans = template.whole([ASKED, SAID])
        turns = template.prompt([ASKED, SAID, AGAIN])
    except PolysenseError as error:
        raise PolysenseError(f"{where}: {error}; {OTHER}") from error
    first, last = spans[0]
    for text, turn in ((asked, ASKED), (whole[first:last], SAID), (turns, SAID), (turns, AGAIN)):
        if turn["content"] not in text:
            raise PolysenseError(
                f"{where}: its chat template leaves out the words of the {turn['role']} (does it "
                f"take parts in place of text?): {OTHER}"
            )
    if not template.form.end:
        raise PolysenseError(
            f"{where}: its chat template writes nothing behind an answer, so no end would be "
            f"learnt: {OTHER}"
        )
    check_system(chat, where)


def check_system(chat: ChatTokenizer, where: str) -> None:
    """Check that the template takes the system message that is put before conversations."""
    if chat.system is None:
        return
    system: Turn = {"role": "system", "content": chat.control.mark(chat.system)}
    way_out = "set model.system=null, or say it in the questions"
    try:
        text = chat.template.prompt([system, ASKED])
    except PolysenseError as error:
        raise PolysenseError(f"model.system: {where}: {error}; {way_out}") from error
    if system["content"].strip() not in text:
        raise PolysenseError(
            f"model.system: {where}: its chat template leaves system messages out; {way_out}"
        )
