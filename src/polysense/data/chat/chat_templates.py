"""Plain chat templates, for LLMs that were trained on prompts of another system and have none.

They are Jinja, as transformers' are. What a message shows stands before its words, so the last
placeholder of its content parts the two: every family wants something there.
"""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from polysense.data.placeholders import placeholder_token
from polysense.errors import unknown_name
from polysense.modalities import MODALITIES

PARTED = (
    "{%- for m in messages -%}"
    f"{{%- set cut = m['content'].rpartition('{placeholder_token('image')}') -%}}"
    "{%- set shown, said = cut[0] + cut[1], cut[2] -%}"
)

# Vicuna's turns; a picture has a line of its own.
LLAVA = (
    "{{- bos_token -}}" + PARTED + "{%- if m['role'] == 'user' -%}"
    "{{- 'USER: ' + shown + ('\n' if shown else '') + said + ' ' -}}"
    "{%- elif m['role'] == 'assistant' -%}{{- 'ASSISTANT: ' + m['content'] + eos_token -}}"
    "{%- else -%}{{- m['content'] + ' ' -}}{%- endif -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- 'ASSISTANT:' -}}{%- endif -%}"
)

# Pictures come first, even before the begin-of-text token.
BLIP2 = (
    PARTED + "{{- shown -}}{%- if loop.first -%}{{- bos_token -}}{%- endif -%}"
    "{%- if m['role'] == 'user' -%}{{- 'Question: ' + said + ' Answer:' -}}"
    "{%- elif m['role'] == 'assistant' -%}{{- ' ' + said + eos_token -}}"
    "{%- else -%}{{- said + ' ' -}}{%- endif -%}{%- endfor -%}"
)

# The instruction as it is: no words around it.
INSTRUCTBLIP = (
    PARTED + "{{- shown -}}{%- if loop.first -%}{{- bos_token -}}{%- endif -%}"
    "{%- if m['role'] == 'assistant' -%}{{- ' ' + said + eos_token -}}"
    "{%- else -%}{{- said -}}{%- endif -%}{%- endfor -%}"
)

# OneLLM: signals, then the system message, then turns; each ends in a line that begins with ###.
# Signals of the first question stand before everything, those of later ones before their words.
SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)

ONELLM = (
    "{%- macro words(content) -%}{%- set rest = namespace(text=content) -%}"
    f"{{%- for held in {[placeholder_token(name) for name in MODALITIES]} -%}}"
    "{%- set rest.text = rest.text.rpartition(held)[2] -%}{%- endfor -%}"
    "{{- rest.text -}}{%- endmacro -%}"
    "{%- set asked = messages | selectattr('role', 'equalto', 'user') | list -%}"
    "{%- set first = asked[0]['content'] if asked else '' -%}"
    "{{- bos_token -}}{{- first[:first | length - words(first) | length] -}}"
    "{%- if messages and messages[0]['role'] == 'system' -%}{{- messages[0]['content'] -}}"
    f'{{%- else -%}}{{{{- "{SYSTEM}" -}}}}{{%- endif -%}}'
    "{{- '\n\n###' -}}{%- set turn = namespace(first=true) -%}"
    "{%- for m in messages -%}{%- if m['role'] == 'user' -%}"
    "{{- ' Human: ' + (words(m['content']) if turn.first else m['content']) + '\n###' -}}"
    "{%- set turn.first = false -%}"
    "{%- elif m['role'] == 'assistant' -%}{{- ' Assistant: ' + m['content'] + '\n###' -}}"
    "{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{{- ' Assistant:' -}}{%- endif -%}"
)

# IDEFICS: a mark on either side of every picture, one between two; each turn is a line. The
# instructed ones end every turn with a mark, the others end what they say with the text.
AROUND = "<fake_token_around_image>"

IDEFICS = (
    "{{- bos_token -}}{%- for m in messages -%}"
    f"{{%- set around, held = '{AROUND}', '{placeholder_token('image')}' -%}}"
    "{%- set said = m['content'].replace(held, around + held + around) -%}"
    "{%- set said = said.replace(around + around, around) -%}"
    "{{- ('' if loop.first else '\n') + m['role'] | capitalize + ':' -}}"
    "{{- ('' if said.startswith(around) else ' ') + said -}}"
    "END{%- endfor -%}{%- if add_generation_prompt -%}{{- '\nAssistant:' -}}{%- endif -%}"
)

IDEFICS_BASE = IDEFICS.replace(
    "END", "{%- if m['role'] == 'assistant' -%}{{- eos_token -}}{%- endif -%}"
)
IDEFICS_INSTRUCT = IDEFICS.replace("END", "{{- '<end_of_utterance>' -}}")

TEMPLATES: dict[str, str] = {
    "llava": LLAVA,
    "blip2": BLIP2,
    "instructblip": INSTRUCTBLIP,
    "onellm": ONELLM,
    "idefics": IDEFICS_BASE,
    "idefics-instruct": IDEFICS_INSTRUCT,
}

# What an LLM learnt to write behind its answer, in place of its end-of-text token: a line's begin,
# or a token of its own.
ENDINGS = {"onellm": "###", "idefics-instruct": "<end_of_utterance>"}


def template_named(name: str | None) -> str | None:
    """Return the template called `name`, None for None; PolysenseError lists the known ones."""
    if name is not None and name not in TEMPLATES:
        raise unknown_name("chat template", name, TEMPLATES)
    return None if name is None else TEMPLATES[name]


def writes_words(text_tokenizer: Any) -> bool:
    """Whether the tokenizer has a chat template that writes a message's content as it stands.

    Templates of composite checkpoints often take a list of parts instead, and drop plain text.
    """
    if not getattr(text_tokenizer, "chat_template", None):
        return False
    words = f"{placeholder_token('image')}What is this?"
    turns = [{"role": "user", "content": words}]
    try:
        return words in text_tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, TypeError, ValueError):
        return False
