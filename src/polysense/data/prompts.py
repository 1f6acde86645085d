"""What is asked of a record: each task turns records into conversations.

"caption" is the alignment task: signal in, caption out, no words around it, and documents as they
are (VILA, arXiv 2312.07533: interleaved data belongs there). "instruction" makes questions from
captions and categories, among them what the modality itself says to be captioned
(`Modality.caption_prompt`), and takes conversations as they are. "answer" is alignment on
conversations alone, as LLaVA's own captions come: signal in, the first answer out. Which phrasing a
record gets is a function of its key, so that data are the same in every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from polysense.data.datasets import Record
from polysense.errors import unknown_name
from polysense.modalities import Modality
from polysense.modalities.base import caption_prompt
from polysense.types import Media, Message, Sample, Text

Modalities = Mapping[str, Modality]

# The first is the question that evaluation asks; the third is the modality's own.
CAPTION_QUESTIONS = (
    "What is this?",
    "Describe the {modality}.",
    "{instruction}",
    "What do you see?",
    "What does the {modality} show?",
)

CATEGORY_QUESTIONS = (
    "What kind of thing is this?",
    "Which category does the {modality} belong to?",
)


def chosen_by(key: str, count: int) -> int:
    """Return a number below `count` that depends on the key alone."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % count


def question_for(record: Record, questions: Sequence[str], modalities: Modalities) -> str:
    """Choose a phrasing by the record's key; fill in its modality's name, or its own words."""
    chosen = questions[chosen_by(f"question {record.key}", len(questions))]
    names = list(dict.fromkeys(media.modality for media in record.media))
    together = " and ".join(names)
    own = modalities[names[0]].caption_prompt if len(names) == 1 else caption_prompt(together)
    return chosen.format(modality=together, instruction=own)


def conversation(record: Record, question: str, answer: str) -> tuple[Message, ...]:
    """Return the turns: the record's signals and the question, then the answer."""
    asked = (*record.media, *((Text(question),) if question else ()))
    return (Message("user", asked), Message("assistant", (Text(answer),)))


def metadata(record: Record) -> dict[str, str]:
    """Return what evaluation and the report need besides the conversation."""
    return {"caption": record.caption, "category": record.category}


def caption_samples(records: Sequence[Record], modalities: Modalities) -> list[Sample]:
    """One sample a captioned record: its signals, then its caption; and every document."""
    return [
        Sample(
            record.key,
            record.messages or conversation(record, "", record.caption),
            metadata(record),
        )
        for record in records
        if record.is_document or record.caption
    ]


def answer_samples(records: Sequence[Record], modalities: Modalities) -> list[Sample]:
    """One sample a conversation that begins with signals: these, then the first answer.

    LLaVA's pretraining drops the question so; of a longer conversation, the later turns too.
    """
    samples = []
    for record in records:
        first = next((i for i, m in enumerate(record.messages) if m.role == "user"), None)
        if first is None:
            continue
        shown = tuple(part for part in record.messages[first].parts if isinstance(part, Media))
        if shown:
            turns = (Message("user", shown), record.messages[first + 1])
            samples.append(Sample(record.key, turns, metadata(record)))
    return samples


def instruction_samples(records: Sequence[Record], modalities: Modalities) -> list[Sample]:
    """Conversations as they are; of a captioned record, two questions: what it is, and another
    about its caption or its category.

    Half of the records that have a category are asked for it, chosen by their keys.
    """
    samples = []
    for record in records:
        if record.messages:
            if not record.is_document:
                samples.append(Sample(record.key, record.messages, metadata(record)))
            continue
        other, answer = question_for(record, CAPTION_QUESTIONS[1:], modalities), record.caption
        if record.category and chosen_by(f"kind {record.key}", 2):
            other = question_for(record, CATEGORY_QUESTIONS, modalities)
            answer = record.category.replace("/", ", ").replace("_", " ").capitalize() + "."
        for question, said in ((CAPTION_QUESTIONS[0], record.caption), (other, answer)):
            turns = conversation(record, question, said)
            samples.append(Sample(record.key, turns, metadata(record)))
    return samples


TASKS: dict[str, Callable[[Sequence[Record], Modalities], list[Sample]]] = {
    "caption": caption_samples,
    "answer": answer_samples,
    "instruction": instruction_samples,
}


def samples_for(task: str, records: Sequence[Record], modalities: Modalities) -> list[Sample]:
    """Return the samples of the task called `task`; `modalities` are those of the records."""
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    return TASKS[task](records, modalities)


def task_for(task: str, records: Sequence[Record]) -> str:
    """Return `task`, or "answer" for captions where conversations are all that there is."""
    captioned = any(record.caption or record.is_document for record in records)
    talked = any(record.messages and not record.is_document for record in records)
    return "answer" if task == "caption" and talked and not captioned else task
