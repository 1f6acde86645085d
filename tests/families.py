"""Chat templates as LLM families have them, written out by hand, over one tiny tokenizer.

Each is what the family's own template does with plain text: its marks, its checks, its thinking.
"""

from tokenizers import AddedToken

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA_2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] | trim + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% endfor %}"
)
LLAMA_3 = (
    "{% for m in messages %}{% set content = '<|start_header_id|>' + m['role'] + "
    "'<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.first %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
PHI_3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}"
    "{% else %}{{ eos_token }}{% endif %}"
)
VICUNA = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}"
    "{% elif m['role'] == 'assistant' %}{{ 'ASSISTANT: ' + m['content'] + eos_token }}"
    "{% else %}{{ m['content'] + ' ' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
# Thoughts of earlier answers are cut away; the last answer gets an empty block of them.
QWEN_3 = (
    "{%- set last = namespace(asked=0) %}{%- for m in messages %}{%- if m.role == 'user' %}"
    "{%- set last.asked = loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for m in messages %}{%- set content = m.content %}"
    "{{- '<|im_start|>' + m.role + '\n' }}{%- if m.role == 'assistant' %}"
    "{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1] %}{%- endif %}"
    "{%- if loop.index0 > last.asked %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"
    "{{- content + '<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"
)
DEEPSEEK_R1 = (
    "{% set ns = namespace(system='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{% set ns.system = m['content'] %}{% endif %}{% endfor %}{{ bos_token }}{{ ns.system }}"
    "{% for m in messages %}{% set content = m['content'] %}"
    "{% if m['role'] == 'user' %}{{ '<｜User｜>' + content }}{% endif %}"
    "{% if m['role'] == 'assistant' %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<｜Assistant｜>' + content + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)
FAMILIES = {
    "chatml": CHATML, "gemma-2": GEMMA_2, "mistral": MISTRAL, "llama-3": LLAMA_3, "phi-3": PHI_3,
    "vicuna": VICUNA, "qwen-3": QWEN_3, "deepseek-r1": DEEPSEEK_R1,
}  # fmt: skip
# What ends an answer.
ENDS = {
    "chatml": "<|im_end|>", "gemma-2": "<end_of_turn>", "mistral": "</s>", "llama-3": "<|eot_id|>",
    "phi-3": "<|end|>", "vicuna": "</s>", "qwen-3": "<|im_end|>", "deepseek-r1": "</s>",
}  # fmt: skip
SPECIAL = (
    "<s>", "</s>", "<start_of_turn>", "<end_of_turn>", "<|eot_id|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>",
)  # fmt: skip
ORDINARY = (
    "<think>",
    "</think>",
    "<｜User｜>",
    "<｜Assistant｜>",
)  # not special, in their vocabularies


def speaks(tokenizer, family):
    """Give a tokenizer the family's tokens and template, and return it."""
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False) for token in ORDINARY])
    tokenizer.bos_token, tokenizer.eos_token = "<s>", "</s>"
    tokenizer.chat_template = FAMILIES[family]
    return tokenizer
