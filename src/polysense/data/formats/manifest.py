"""One line of a manifest, or one sample of a shard, becomes a record.

A line names signals by their modalities, in any order, and says one thing of them: a caption, a
question with its answer, messages, conversations or a document. A signal is a file, a list of files
(several signals of the modality, called "images" too), or an object of files and numbers that are
one signal together.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polysense.data.formats.conversations import FORMS, read_turns
from polysense.data.records import Record, split_named
from polysense.data.text_checks import check_texts
from polysense.errors import PolysenseError
from polysense.modalities import MODALITIES
from polysense.modalities.sources.file_parts import FileGroup
from polysense.types import Media, Message

TEXT_KEYS = (
    "caption", "category", "question", "answer", "key", "id", "group", "split", "source",
    "system",
)  # fmt: skip
TURN_KEYS = ("messages", "conversations", "document")
KNOWN_KEYS = (*TEXT_KEYS, *TURN_KEYS)
UNREAD_KEYS = ("model",)  # LLaVA's lines say who wrote them
FindFile = Callable[[str], Any]  # a file's name, as a line has it, to where it lies


def parse_line(line: str, root: Path, modalities: Sequence[str], where: str) -> Record | None:
    """Check one line of JSON and return its record; paths must stay below `root`.

    None of a line with a modality that Polysense has and this run does not: one manifest may serve
    runs of different modalities.
    """
    return parse_values(load_json(line, where), root, modalities, where)


def parse_values(
    values: Any, root: Path, modalities: Sequence[str], where: str, name: str = ""
) -> Record | None:
    """Check what one line says, as parse_line does once its JSON is read."""
    if names_other_modality(values, modalities):
        return None
    return read_values(values, modalities, lambda file: str(find_file(file, root)), where, name)


def names_other_modality(values: Any, modalities: Sequence[str]) -> bool:
    """Whether a line has a signal of a modality of Polysense that is not among `modalities`."""
    others = set(MODALITIES) - set(modalities)
    return isinstance(values, Mapping) and bool({*others, *map(plural, others)} & set(values))


def plural(modality: str) -> str:
    """Return how other trainers call a list of a modality's files: "images", "videos", "audios"."""
    return f"{modality}s"


def load_json(text: str, where: str) -> Any:
    """Return what a text says as JSON; an object that names one key twice is an error."""
    try:
        return json.loads(text, object_pairs_hook=unique_pairs)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column" if error.lineno > 1 else "column"
        raise PolysenseError(f"{where}: not JSON ({error.msg} at {place} {error.colno})") from error
    except RecursionError as error:
        raise PolysenseError(f"{where}: not a line of data: nested too deep") from error
    except PolysenseError as error:
        raise PolysenseError(f"{where}: {error}") from error


def unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; of two values under one key, JSON's own reader would drop the first."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise PolysenseError(f"the key {twice!r} stands twice in one object")
    return values


def read_values(
    values: Any, modalities: Sequence[str], find: FindFile, where: str, name: str = ""
) -> Record:
    """Return the record of a line's values; `where` begins every error.

    `find` says where a file lies, and `name` is the record's key where the line has none: by
    default its first file, its id, or a hash of its text.
    """
    try:
        return replace(read_checked(values, modalities, find, name), where=where)
    except PolysenseError as error:
        raise PolysenseError(f"{where}: {error}") from error


def read_checked(values: Any, modalities: Sequence[str], find: FindFile, name: str) -> Record:
    """Do the work of read_values; errors do not say where yet."""
    if not isinstance(values, Mapping):
        raise PolysenseError(f"a line must be a JSON object, not {type(values).__name__}")
    values = with_one_name(values, modalities)
    unknown = sorted(set(values) - {*KNOWN_KEYS, *UNREAD_KEYS, *modalities})
    if unknown:
        known = ", ".join([*modalities, *KNOWN_KEYS])
        raise PolysenseError(f"unknown key {unknown[0]!r}. Known: {known}")
    check_texts(values, modalities)
    texts = {key: text_value(values, key) for key in TEXT_KEYS if key in values}
    written = [
        Media(modality, value)
        for modality in values
        if modality in modalities
        for value in (
            values[modality] if isinstance(values[modality], list) else [values[modality]]
        )
    ]
    form, turns = form_of({**values, **texts}), ()
    if form == "caption":
        if not written:
            raise PolysenseError(f"no signal; it needs one of {', '.join(modalities)}")
        check_caption(texts, modalities)
        media = tuple(written)
    else:
        turns = read_turns(form, {**values, **texts}, written, modalities)
        media = tuple(m for turn in turns for m in turn.parts if isinstance(m, Media))
    found = {id(item): replace(item, source=find_source(item, find)) for item in media}
    fallback = name or default_key(media, texts, values)
    key = texts.get("key") or fallback
    return Record(
        key=key,
        media=tuple(found[id(item)] for item in media),
        caption=texts.get("caption", ""),
        category=texts.get("category", ""),
        split=split_named(texts.get("split", "")),
        source=texts.get("source", ""),
        group=texts.get("group", "") or ("" if texts.get("key") else fallback),
        messages=tuple(
            Message(turn.role, tuple(found.get(id(part), part) for part in turn.parts))
            for turn in turns
        ),
    )


def with_one_name(values: Mapping[str, Any], modalities: Sequence[str]) -> dict[str, Any]:
    """Return a line with its signals under their modalities' names: "images" become "image"."""
    names = {
        plural(modality): modality for modality in modalities if plural(modality) not in modalities
    }
    for given, modality in names.items():
        if given in values and modality in values:
            raise PolysenseError(f"both {modality!r} and {given!r}: put all files into one list")
    return {names.get(key, key): value for key, value in values.items()}


def check_caption(texts: Mapping[str, str], modalities: Sequence[str]) -> None:
    """Refuse what means nothing beside a caption: places of signals in it, a system message."""
    for modality in modalities:
        if f"<{modality}>" in texts["caption"]:
            raise PolysenseError(
                f"the caption says <{modality}>, and would be learnt with it: signals stand before "
                "their caption, so take the mark away"
            )
    if texts.get("system"):
        raise PolysenseError("a 'system' message beside a caption: nobody is asked there")


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
    if isinstance(value, Mapping) and set(value) in ({"path"}, {"path", "bytes"}):
        value = value["path"] if value.get("bytes") is None else value  # as `datasets` writes files
    if isinstance(value, str) and value:
        return find(value)
    if not isinstance(value, Mapping) or not value:
        raise PolysenseError(f"a file of {media.modality!r} must be named by text, not {value!r}")
    parts = []
    for name, part in value.items():
        number = isinstance(part, int | float) and not isinstance(part, bool)
        if not (math.isfinite(part) if number else isinstance(part, str) and part):
            raise PolysenseError(
                f"{media.modality!r}: {name!r} must be a file or a number, not {part!r}"
            )
        parts.append((name, find(part) if isinstance(part, str) else part))
    return FileGroup(tuple(parts))


def find_file(name: str, root: Path) -> Path:
    """Return the file a line names, which must exist below `root`."""
    try:
        path = (root / name).resolve()
        found = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, a ring of links
        raise PolysenseError(f"{name[:80]!r} is no name of a file ({error})") from error
    if not path.is_relative_to(root.resolve()):
        raise PolysenseError(
            f"{name!r} lies outside the manifest's folder {str(root)!r}: "
            "put the manifest at or above its files"
        )
    if not found:
        raise PolysenseError(f"file {name!r} does not exist below {str(root)!r}")
    return path
