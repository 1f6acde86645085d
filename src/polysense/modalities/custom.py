"""A modality from a user's own file: "ecg.py:Ecg", or "ecg.py" where the file holds one modality.

Loading the file runs it. That happens only to a file that the user names, on the command line or in
Python, or named when training the run that is loaded (`modality_sources`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from torch import nn

from polysense.errors import PolysenseError, unknown_name
from polysense.modalities.base import Modality

PREFIX = "polysense_sense_"  # of the loaded modules' names

# Words that manifests and messages use beside the modalities' names.
RESERVED = (
    "caption category question answer messages conversations document key id group split source "
    "model type text path role content"
).split()


def split_source(source: str) -> tuple[str, str]:
    """Split "ecg.py:Ecg" into file and class, either of which may be empty."""
    if source.endswith(".py"):
        return source, ""
    file, _, class_name = source.rpartition(":")
    return file, class_name


def names_a_file(name: str) -> bool:
    """Whether `name` means a file, not a modality of the package."""
    return split_source(name)[0].endswith(".py")


def modality_from_file(source: str) -> type[Modality]:
    """Load the file of `source`, once, and return its modality's class.

    Raises PolysenseError where the file is missing or fails, or holds no such class or no modality.
    """
    file, wanted = split_source(source)
    if not file.endswith(".py"):
        raise PolysenseError(f"{source!r} is no Python file: write file.py or file.py:Class")
    module = load_file(Path(file).expanduser().resolve())
    own = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Modality)
        and value.__module__ == module.__name__
    }
    if not wanted:
        if len(own) != 1:
            found = f"{len(own)} ({', '.join(own)})" if own else "none"
            raise PolysenseError(
                f"{file} must hold one modality, a class derived from Modality, and holds {found}: "
                f"write it, or name the one that is meant, {file}:Name"
            )
        wanted = next(iter(own))
    if not hasattr(module, wanted):
        raise unknown_name(f"class in {file}:", wanted, own)
    if wanted not in own:
        raise PolysenseError(
            f"{wanted} in {file} is no modality: derive it from polysense.modalities.Modality"
        )
    check_modality(own[wanted], f"{wanted} in {file}")
    return own[wanted]


@cache
def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own name; what it raises becomes one line."""
    if not path.is_file():
        raise PolysenseError(
            f"modality file {str(path)!r} does not exist: name the modality's Python file, with "
            "--modality or modalities=[...]"
        )
    name = f"{PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PolysenseError(f"modality file {str(path)!r} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PolysenseError(f"modality file {str(path)!r} fails: {reason}") from error
    return module


def check_modality(modality: type[Modality], where: str) -> None:
    """Check that a class is whole and its name usable in manifests, messages and weights."""
    if inspect.isabstract(modality):
        missing = ", ".join(sorted(modality.__abstractmethods__))
        raise PolysenseError(f"{where} lacks {missing}: see polysense/modalities/base.py")
    name = getattr(modality, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise PolysenseError(f"{where}: name must be small letters, digits and _, not {name!r}")
    if name in RESERVED or hasattr(nn.ModuleDict(), name):
        raise PolysenseError(f"{where}: the name {name!r} is taken: choose another")


def loaded_senses() -> dict[str, type[Modality]]:
    """Return {name: class} of the users' own modalities whose files have been run."""
    modules = [module for name, module in sys.modules.items() if name.startswith(PREFIX)]
    return {
        value.name: value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Modality)
        and value.__module__ == module.__name__
        and isinstance(getattr(value, "name", None), str)
    }


def source_of(modality: type[Modality]) -> str:
    """Return "/whole/path/ecg.py:Ecg" of a class that was loaded from a file, else ""."""
    if not modality.__module__.startswith(PREFIX):
        return ""
    return f"{sys.modules[modality.__module__].__file__}:{modality.__name__}"


def modality_sources(
    noted: Mapping[str, str], modalities: Sequence[str], name: str | Path
) -> dict[str, str]:
    """Return where a checkpoint's own modalities lie: as named in `modalities`, else as noted.

    Files are run, so what a checkpoint notes is followed only in a folder on this disk and to a
    whole path, as training writes it. A hub's checkpoint, or a relative path, chooses no code.
    """
    given = {modality.name: source_of(modality) for modality in map(modality_from_file, modalities)}
    if unknown := sorted(set(given) - set(noted)):
        raise PolysenseError(
            f"checkpoint {str(name)!r} has no own modality {unknown[0]!r}; it has "
            f"{', '.join(noted) or 'none'}"
        )
    local = Path(name).expanduser().is_dir()
    for modality, source in noted.items():
        path = Path(split_source(source)[0])
        if modality not in given and not (local and path == path.resolve()):
            raise PolysenseError(
                f"checkpoint {str(name)!r} needs the modality {modality!r} from a file of its "
                f"author's ({source}), which is not run unasked: get it, read it, and name it with "
                "--modality or modalities=[...]"
            )
    return {**noted, **given}


def code_of(modality: type[Modality]) -> str:
    """Return a hash of the file a class was loaded from, else "": other code reads otherwise."""
    file, _ = split_source(source_of(modality))
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
