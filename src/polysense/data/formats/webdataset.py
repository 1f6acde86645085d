"""Shards in the webdataset convention: tar archives whose files of one name are one sample.

    cat.jpg, cat.txt           a picture and its caption
    two.0.jpg, two.1.jpg, two.json    a line, as a manifest's; it names files by their endings
    step.imu.csv, step.txt     an ending that begins with a modality's name is that modality's

Samples are read in any order, so signals stay where they are: a record's sources are ranges of
bytes of the archives. Only texts are read here. The webdataset library itself streams: it shuffles
what is near, while the order of training is a function of the step (data/loading/sampler.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from polysense.data.formats.manifest import (
    KNOWN_KEYS,
    load_json,
    names_other_modality,
    plural,
    read_values,
)
from polysense.data.records import Record
from polysense.errors import PolysenseError
from polysense.modalities import MODALITIES, modality_of_extension
from polysense.modalities.sources.file_parts import FileSlice
from polysense.modalities.sources.tar_index import read_members

SAMPLE = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")  # key and ending; others are no samples
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
TEXT_BYTES = 2**20  # of a caption or a line; a longer one is no such thing
Files = dict[str, FileSlice]  # a sample's files by their endings


def names_shards(pattern: str | Path) -> bool:
    """Whether a manifest's name means shards: a folder of archives, or archives."""
    folder = Path(pattern)
    return (folder.is_dir() and any(folder.glob("*.tar"))) or bool(
        re.search(r"\.(tar(\.\w+)?|tgz)$", str(pattern))
    )


def read_shards(pattern: str | Path, modalities: Sequence[str]) -> list[Record]:
    """Return the records of all shards that `pattern` names, in order.

    Errors name the archive, the sample and what is wrong with it.
    """
    found = [
        read_sample(key, files, modalities, shard)
        for shard in shard_paths(str(pattern))
        for key, files in samples_of(shard).items()
    ]
    records = [record for record in found if record is not None]
    if not records:
        what = f"of {', '.join(modalities)} alone" if found else "at all"
        raise PolysenseError(
            f"shards {str(pattern)!r} hold no sample {what}: files like cat.jpg, cat.txt"
        )
    return records


def shard_paths(pattern: str) -> list[Path]:
    """Return the archives of a folder, of shards/{000..123}.tar, or of shards/*.tar, sorted."""
    path = Path(pattern).expanduser()
    if path.is_dir():
        paths = sorted(path.glob("*.tar"))
    elif path.is_file():
        paths = [path]
    elif RANGE.search(pattern):
        paths = []
        for name in expanded(str(path)):
            if not Path(name).is_file():
                raise PolysenseError(f"shard {name!r} of {pattern!r} does not exist")
            paths.append(Path(name))
    else:
        paths = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if not paths:
        raise PolysenseError(f"no .tar archive is at {pattern!r}")
    return paths


def expanded(pattern: str) -> Iterator[str]:
    """Yield a pattern's names: "{08..10}" counts, with as many digits as it is written with."""
    found = RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        counted = f"{number:0{len(first)}d}"
        yield from expanded(pattern[: found.start()] + counted + pattern[found.end() :])


def samples_of(shard: Path) -> dict[str, Files]:
    """Return {key: its files by ending} of an archive; hidden and special files are left out."""
    samples: dict[str, Files] = {}
    for name, member in read_members(shard).items():
        found = SAMPLE.fullmatch(name.removeprefix("./"))
        if found and not found[1].rpartition("/")[2].startswith("__"):
            samples.setdefault(found[1], {})[found[2]] = member
    return samples


def read_sample(key: str, files: Files, modalities: Sequence[str], shard: Path) -> Record | None:
    """Return the record of one sample; None of one with a modality that this run does not have."""
    where = f"{shard}, sample {key!r}"
    others = [modality for modality in MODALITIES if modality not in modalities]
    signals = {
        ending: modality_of_file(ending, [*modalities, *others], where)
        for ending in files
        if ending not in ("txt", "json")
    }
    values = said(files, [*modalities, *others], where)
    if {*signals.values()}.intersection(others) or names_other_modality(values, modalities):
        return None
    if not ({*modalities, *map(plural, modalities), "messages", "document"} & set(values)):
        for ending, modality in signals.items():
            values.setdefault(modality, []).append(ending)
    unused = set(signals)

    def find(ending: str) -> FileSlice:
        if ending not in signals:
            raise PolysenseError(
                f"no file {key}.{ending}; its files are named by their endings: "
                f"{', '.join(signals) or 'it has none'}"
            )
        unused.discard(ending)
        return files[ending]

    record = read_values(values, modalities, find, where, f"{shard.stem}/{key}")
    if unused:
        raise PolysenseError(f"{where}: {key}.json does not say where {sorted(unused)[0]!r} stands")
    return record


def modality_of_file(ending: str, modalities: Sequence[str], where: str) -> str:
    """Return the modality that reads files of an ending."""
    modality = modality_of_extension(ending, modalities)
    if not modality:
        claims = [
            f"{', '.join(MODALITIES[name].extensions)} ({name})"
            for name in modalities
            if name in MODALITIES and MODALITIES[name].extensions
        ]
        raise PolysenseError(
            f"{where}: no modality here reads files ending in {ending!r}. Known: "
            f"{'; '.join([*claims, 'txt, json (text)'])}. Or write the modality into the name, as "
            f"{modalities[0]}.{ending}"
        )
    return modality


def said(files: Files, modalities: Sequence[str], where: str) -> dict[str, Any]:
    """Return what a sample's texts say, as a line's values.

    Of its JSON, keys that are none of a manifest's are left out: shards made by others keep sizes,
    addresses and hashes there. Where there is a .txt, it is the caption.
    """
    values: dict[str, Any] = {}
    if "json" in files:
        loaded = load_json(read_text(files["json"]), f"{where}, its .json")
        if not isinstance(loaded, Mapping):
            raise PolysenseError(f"{where}: its .json must be an object, like a manifest's line")
        known = {*KNOWN_KEYS, *modalities, *map(plural, modalities)}
        values = {key: loaded[key] for key in loaded if key in known}
    if "txt" in files:
        values["caption"] = read_text(files["txt"])
    if not values:
        raise PolysenseError(
            f"{where} has no text: put a caption into a file of its name ending in .txt, or a "
            "manifest's line into one ending in .json"
        )
    return values


def read_text(member: FileSlice) -> str:
    """Return a member's text; PolysenseError where it is too long or no UTF-8."""
    if member.size > TEXT_BYTES:
        raise PolysenseError(
            f"{str(member)!r} has {member.size:,} bytes; a text has {TEXT_BYTES:,}"
        )
    try:
        return b"".join(member.chunks()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolysenseError(f"{str(member)!r} is no UTF-8 text") from error
