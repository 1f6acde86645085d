"""One line of a manifest, or one sample of a shard, becomes a record.

A line names signals by their senses, in any order, and says one thing of them: a caption, a
question with its answer, messages, conversations or a document. A signal is a file, a list of files
(several signals of the sense), or an object of files and numbers that are one signal together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polysense.data.records import Record
from polysense.data.turns import FORMS, read_turns
from polysense.errors import PolysenseError
from polysense.modalities import MODALITIES
from polysense.modalities.stored import FileGroup
from polysense.types import Media, Message

TEXT_KEYS = (
    "caption", "category", "question", "answer", "key", "id", "group", "split", "source"
)  # fmt: skip
TURN_KEYS = ("messages", "conversations", "document")
KNOWN_KEYS = (*TEXT_KEYS, *TURN_KEYS)
UNREAD_KEYS = ("model",)  # LLaVA's lines say who wrote them

FindFile = Callable[[str], Any]  # a file's name, as a line has it, to where it lies


def parse_line(line: str, root: Path, senses: Sequence[str], where: str) -> Record | None:
    """Check one line of JSON and return its record; paths must stay below `root`.

    None of a line with a sense that Polysense has and this run does not: one manifest may serve
    runs of different senses.
    """
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise PolysenseError(f"{where}: not JSON ({error.msg} at column {error.colno})") from error
    if isinstance(values, Mapping) and (set(MODALITIES) - set(senses)) & set(values):
        return None
    return read_values(values, senses, lambda name: str(find_file(name, root)), where)


def read_values(
    values: Any, senses: Sequence[str], find: FindFile, where: str, name: str = ""
) -> Record:
    """Return the record of a line's values; `where` begins every error.

    `find` says where a file lies, and `name` is the record's key where the line has none: by
    default its first file, its id, or a hash of its text.
    """
    try:
        return read_checked(values, senses, find, name)
    except PolysenseError as error:
        raise PolysenseError(f"{where}: {error}") from error


def read_checked(values: Any, senses: Sequence[str], find: FindFile, name: str) -> Record:
    """Do the work of read_values; errors do not say where yet."""
    if not isinstance(values, Mapping):
        raise PolysenseError(f"a line must be a JSON object, not {type(values).__name__}")
    unknown = sorted(set(values) - {*KNOWN_KEYS, *UNREAD_KEYS, *senses})
    if unknown:
        known = ", ".join([*senses, *KNOWN_KEYS])
        raise PolysenseError(f"unknown key {unknown[0]!r}. Known: {known}")
    texts = {key: text_value(values, key) for key in TEXT_KEYS if key in values}
    written = [
        Media(sense, value)
        for sense in values
        if sense in senses
        for value in (values[sense] if isinstance(values[sense], list) else [values[sense]])
    ]
    form, turns = form_of({**values, **texts}), ()
    if form == "caption":
        if not written:
            raise PolysenseError(f"no signal; it needs one of {', '.join(senses)}")
        media = tuple(written)
    else:
        turns = read_turns(form, {**values, **texts}, written, senses)
        media = tuple(m for turn in turns for m in turn.parts if isinstance(m, Media))
    found = {id(item): replace(item, source=find_source(item, find)) for item in media}
    fallback = name or default_key(media, texts, values)
    key = texts.get("key") or fallback
    return Record(
        key=key,
        media=tuple(found[id(item)] for item in media),
        caption=texts.get("caption", ""),
        category=texts.get("category", ""),
        split=texts.get("split", ""),
        source=texts.get("source", ""),
        group=texts.get("group", "") or ("" if texts.get("key") else fallback),
        messages=tuple(
            Message(turn.role, tuple(found.get(id(part), part) for part in turn.parts))
            for turn in turns
        ),
    )


def form_of(values: Mapping[str, Any]) -> str:
    """Return which one thing a line says: its caption, or one of FORMS."""
    forms = [form for form in ("caption", *FORMS) if values.get(form)]
    if not forms:
        raise PolysenseError(
            "no caption (and no question, messages, conversations or document): say in words what "
            "the signal is"
        )
    if len(forms) > 1:
        raise PolysenseError(f"both {forms[0]!r} and {forms[1]!r}: make two lines of it")
    if bool(values.get("question")) != bool(values.get("answer")):
        raise PolysenseError("a question needs its 'answer', and an answer its 'question'")
    return forms[0]


def text_value(values: Mapping[str, Any], key: str) -> str:
    """Return values[key] as stripped text; anything but a string is an error (an id: a number)."""
    value = values[key]
    if key == "id" and isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise PolysenseError(f"{key!r} must be text, not {value!r}")
    return value.strip()


def default_key(media: Sequence[Media], texts: Mapping[str, str], values: Any) -> str:
    """Return the file, or files, of a line's first signal, its id, or a hash of all it says."""
    for item in media:
        parts = item.source.values() if isinstance(item.source, Mapping) else [item.source]
        if files := [part for part in parts if isinstance(part, str)]:
            return "+".join(Path(file).as_posix() for file in files)
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return texts.get("id") or f"text-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def find_source(media: Media, find: FindFile) -> Any:
    """Return where a signal lies: a file, or the files and numbers of one signal."""
    value = media.source
    if isinstance(value, str) and value:
        return find(value)
    if not isinstance(value, Mapping) or not value:
        raise PolysenseError(f"a file of {media.modality!r} must be named by text, not {value!r}")
    parts = []
    for name, part in value.items():
        if isinstance(part, bool) or not isinstance(part, str | int | float) or part == "":
            raise PolysenseError(
                f"{media.modality!r}: {name!r} must be a file or a number, not {part!r}"
            )
        parts.append((name, find(part) if isinstance(part, str) else part))
    return FileGroup(tuple(parts))


def find_file(name: str, root: Path) -> Path:
    """Return the file a line names, which must exist below `root`."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise PolysenseError(
            f"{name!r} lies outside the manifest's folder {str(root)!r}: "
            "put the manifest at or above its files"
        )
    if not path.is_file():
        raise PolysenseError(f"file {name!r} does not exist below {str(root)!r}")
    return path
