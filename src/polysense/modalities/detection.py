"""Modality detection: which of a run's modalities reads a file that nobody named one for.

The extension says it where one modality of the run claims it. Where several share it (a .png may be
a photograph, a depth map or a normal map), the content decides if it can. If it cannot, the file is
refused with the words that name each, `depth:bed.png or image:bed.png`: a guess would be answered
as confidently as the right reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality
from polysense.modalities.read_signal import suits
from polysense.modalities.sources.file_parts import FileGroup

Classes = Mapping[str, type[Modality]]


def extensions_of(word: str) -> list[str]:
    """Return what a file's name may end in, longest first: "a.imu.csv" in "imu.csv" and "csv"."""
    *_, name = word.replace("\\", "/").split("/")
    parts = name.lower().split(".")[1:]
    return [".".join(parts[start:]) for start in range(len(parts))]


def reads_extension(modality: type[Modality], extensions: Iterable[str]) -> bool:
    """Whether files that end in one of `extensions` are among those that `modality` reads."""
    return bool({*modality.extensions, *modality.shared_endings}.intersection(extensions))


def named_in(word: str, known: Classes) -> str:
    """Return the modality that a double extension names, as in "walk.imu.csv"; "" for none."""
    for longer in extensions_of(word):
        name, _, shorter = longer.partition(".")
        if not shorter or name not in known:
            continue
        declared = known[name].extensions or known[name].shared_endings
        if not declared or reads_extension(known[name], extensions_of(f".{shorter}")):
            return name
    return ""


def detect(
    word: str, source: Any, modalities: Mapping[str, Modality], package: Classes
) -> tuple[str, bool]:
    """Return which of a run's `modalities` reads the `source` that `word` names, and whether that
    was told from the content or name alone, so that the user should hear of it.

    `package` are the modalities of Polysense, whether the run has them or not. Raises
    PolysenseError, in one line with the way out, where none reads it or several do.
    """
    own = {name: package.get(name) or type(modalities[name]) for name in modalities}
    if isinstance(source, FileGroup):
        candidates = [name for name in own if name in source]
        if not candidates:
            raise PolysenseError(f"{word!r} has no part called {' or '.join(own)}; {having(own)}")
    else:
        if named := named_in(word, {**package, **own}):
            check_known(named, word, own)
            return named, len(own) > 1
        extensions = extensions_of(word)
        candidates = [name for name, kind in own.items() if reads_extension(kind, extensions)]
        # A modality that declares no extensions may read any that no other one claims.
        undeclared = [n for n, kind in own.items() if not (kind.extensions or kind.shared_endings)]
        others = [n for n, kind in package.items() if reads_extension(kind, extensions)]
        candidates = candidates or undeclared
        if not candidates and others:
            raise PolysenseError(
                f"{word!r} is read as {' or '.join(others)}, and {having(own)}: "
                f"write {naming(word, own)} if it is one all the same"
            )
    candidates = candidates or list(own)  # nobody knows the extension: its content may say it
    if len(candidates) > 1:
        candidates = chosen_by_content(word, source, candidates, modalities)
    return candidates[0], len(own) > 1


def chosen_by_content(
    word: str, source: Any, candidates: list[str], modalities: Mapping[str, Modality]
) -> list[str]:
    """Return the one of several candidates that the content suits; refuse none, and several."""
    suited = [name for name in candidates if suits(modalities[name], source)]
    if len(suited) == 1:
        return suited
    if suited:
        raise PolysenseError(
            f"{word!r} can be read as {' or '.join(suited)}: say which, {naming(word, suited)}"
        )
    raise PolysenseError(
        f"{word!r} is read by none of {', '.join(candidates)}: name the one that it is, "
        f"{naming(word, candidates)}, to hear why"
    )


def check_known(name: str, word: str, modalities: Iterable[str]) -> None:
    """Refuse a modality that was named and that the run does not have."""
    if name not in (names := list(modalities)):
        raise PolysenseError(f"{word!r} names the modality {name!r}, and {having(names)}")


def having(names: Iterable[str]) -> str:
    """Say what a run has: "this run has image only"."""
    *most, last = names
    return f"this run has {', '.join(most) + ' and ' if most else ''}{last} only"


def naming(word: str, names: Iterable[str]) -> str:
    """Return the words that name a file's modality: "depth:bed.png or image:bed.png"."""
    return " or ".join(f"{name}:{word}" for name in names)


def is_address(word: str) -> bool:
    """Whether a word is an address on a network, or data written as one, and no file."""
    scheme, colon, rest = word.partition(":")
    known = rest.startswith("//") or scheme == "data"
    return bool(colon) and known and scheme.isalnum() and not any(map(str.isspace, word.strip()))


def check_no_address(word: str) -> None:
    """Refuse an address: nothing is fetched for a user who asks."""
    if is_address(word):
        raise PolysenseError(
            f"{word[:60]!r} is an address, and no address is fetched: download it and name the file"
        )
