"""Weights of another system on disk: all names and shapes at once, a tensor when it is asked for.

One file or a folder of parts, safetensors or PyTorch's own. The latter are pickles: they are read
with `weights_only`, which runs no code of theirs, and mapped into memory instead of loaded, so that
15 GB of weights cost what is being converted at the moment.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from polysense.errors import PolysenseError

SAFE, PICKLED = (".safetensors",), (".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Stored:
    """A tensor that lies in `file`, and how it is read from there."""

    shape: torch.Size
    read: Callable[[], torch.Tensor]
    file: Path


class Weights(Mapping[str, torch.Tensor]):
    """{name: tensor} of a file or a folder of parts; each look-up reads that tensor alone.

    `metadata` holds the texts that safetensors carry beside their tensors.
    """

    def __init__(self, path: str | Path) -> None:
        self.stored: dict[str, Stored] = {}
        self.metadata: dict[str, str] = {}
        for file in part_files(Path(path).expanduser()):
            part, metadata = read_safe(file) if file.suffix in SAFE else (read_pickled(file), {})
            for name in part.keys() & self.stored.keys():
                raise PolysenseError(
                    f"{name} lies in {self.stored[name].file.name} and again in {file.name}: give "
                    "the parts of one checkpoint only"
                )
            self.stored |= part
            self.metadata |= metadata

    def __getitem__(self, name: str) -> torch.Tensor:
        stored = self.stored[name]
        try:
            return stored.read()
        except SafetensorError as error:
            raise PolysenseError(f"{stored.file} is damaged at {name}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """{name: shape}; nothing is read for it."""
        return {name: stored.shape for name, stored in self.stored.items()}


def part_files(path: Path) -> list[Path]:
    """Return the weight files at `path`, in the order of their names; at least one, of one kind."""
    known = ", ".join(SAFE + PICKLED)
    if path.is_file():
        if path.suffix not in SAFE + PICKLED:
            raise PolysenseError(f"{str(path)!r} is no file of weights; those read: {known}")
        return [path]
    if not path.is_dir():
        raise PolysenseError(f"{str(path)!r} does not exist: give a file of weights, or a folder")
    files = sorted(file for file in path.iterdir() if file.suffix in SAFE + PICKLED)
    if not files:
        raise PolysenseError(f"{str(path)!r} holds no weights; those read: {known}")
    if len({file.suffix in SAFE for file in files}) > 1:
        raise PolysenseError(
            f"{str(path)!r} holds safetensors and pickled weights: give the files of one kind"
        )
    return files


def read_safe(file: Path) -> tuple[dict[str, Stored], dict[str, str]]:
    """Open a safetensors file: its tensors, and its metadata."""
    try:
        opened = safe_open(file, "pt")
        names, metadata = list(opened.keys()), opened.metadata() or {}
        shapes = {name: torch.Size(opened.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise PolysenseError(f"{file} is damaged or no safetensors file: {error}") from error

    def reader(name: str) -> Callable[[], torch.Tensor]:
        return lambda: opened.get_tensor(name)

    return {name: Stored(shapes[name], reader(name), file) for name in names}, metadata


def read_pickled(file: Path) -> dict[str, Stored]:
    """Map a file of torch.save into memory: {name: tensor}, perhaps below the key "model"."""
    try:
        found = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        raise PolysenseError(
            f"{file} is damaged, or holds Python objects besides tensors, which are not run: save "
            "its tensors alone"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PolysenseError(f"{file} cannot be read: {reason}") from error
    if isinstance(found, dict) and isinstance(found.get("model"), dict):
        found = found["model"]
    tensors = found if isinstance(found, dict) else {}
    if not tensors or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise PolysenseError(f"{file} does not hold tensors by name")

    def reader(name: str) -> Callable[[], torch.Tensor]:
        return lambda: tensors[name]

    return {name: Stored(tensor.shape, reader(name), file) for name, tensor in tensors.items()}
