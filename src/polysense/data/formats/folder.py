"""A folder of files: each with its text beside it (cat.png, cat.txt), or all in one table.

The table is `imagefolder`'s: metadata.jsonl, metadata.csv or metadata.parquet with the columns
file_name and text. A file without a text, and a text without a file, are errors that name them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from polysense.data.formats import table
from polysense.data.formats.line import Line, as_line, modality_of_path
from polysense.data.formats.manifest import load_json
from polysense.errors import PolysenseError

TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def takes(path: Path) -> bool:
    """Whether a path is a folder that holds no shards."""
    return path.is_dir() and not any(path.glob("*.tar"))


def lines_of(path: Path, modalities: Sequence[str]) -> Iterator[Line]:
    """Yield the samples of a folder, sorted by their names."""
    found = [path / name for name in TABLES if (path / name).is_file()]
    if len(found) > 1:
        raise PolysenseError(f"{path} has both {found[0].name} and {found[1].name}: keep one")
    if not found:
        yield from files_with_texts(path, modalities)
    elif found[0].suffix != ".jsonl":
        yield from table.lines_of(found[0], modalities)
    else:
        text = read_text(found[0])
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                where = f"{found[0]}, line {number}"
                values = load_json(line, where)
                if not isinstance(values, dict):
                    raise PolysenseError(f"{where}: a line must be a JSON object")
                yield Line(as_line(values, modalities, where, found[0]), where, path)


def files_with_texts(path: Path, modalities: Sequence[str]) -> Iterator[Line]:
    """Yield each text with its files: those of its name in the same folder, below `path`."""
    files: dict[Path, list[Path]] = {}
    texts = {}
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        if any(part.startswith(".") for part in file.relative_to(path).parts):
            continue
        key = file.with_name(file.name.partition(".")[0])
        if file.suffix.lower() == ".txt" and file.stem == key.name:
            texts[key] = file
        else:
            files.setdefault(key, []).append(file)
    if not texts:
        raise PolysenseError(
            f"folder {str(path)!r} holds no shards (.tar), no {TABLES[0]} and no texts: put a "
            "caption beside each file, as cat.txt beside cat.png"
        )
    for lacks, has, kind in ((texts, files, "text"), (files, texts, "file")):
        alone = sorted(set(has) - set(lacks))
        if alone:
            other = "a caption in a .txt of its name" if kind == "text" else "a file of its name"
            named = has[alone[0]]
            name = named[0].name if isinstance(named, list) else named.name
            raise PolysenseError(
                f"{len(alone)} in folder {str(path)!r} lack {other}; the first is {name!r}"
            )
    for key, text in texts.items():
        values: dict = {}
        for file in files[key]:
            modality = modality_of_path(file.name, modalities, str(path))
            values.setdefault(modality, []).append(file.relative_to(path).as_posix())
        values["caption"] = read_text(text)
        yield Line(values, str(text), path)


def read_text(path: Path) -> str:
    """Return a file's text, without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolysenseError(f"{path} is no UTF-8 text") from error
    except OSError as error:
        raise PolysenseError(f"{path} cannot be read: {error.strerror}") from error
