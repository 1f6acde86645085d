"""GGUF as an LLM: llama.cpp's quantised file becomes a folder that every other part can read.

It is unpacked once, to bf16 safetensors with tokenizer and chat template, into the cache. A copy of
the file, or one that was moved, is the same file: it is told by its content.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from polysense.atomic_write import new_folder
from polysense.cache_folder import cache_folder
from polysense.errors import PolysenseError
from polysense.modalities.sources.file_checks import DAMAGE

SUFFIX = ".gguf"
MAGIC = b"GGUF"
SAMPLE = 1 << 20  # bytes of each place that is looked at to tell files apart


def is_gguf(name: str) -> bool:
    """Whether the name of an LLM is that of a GGUF file."""
    return name.lower().endswith(SUFFIX)


def gguf_folder(name: str) -> Path:
    """Return the folder that the GGUF file `name` was unpacked to, unpacking it where it is new.

    PolysenseError where there is no such file, where it is none, or where transformers knows no
    such architecture.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        raise PolysenseError(f"LLM {name!r} does not exist")
    folder = cache_folder() / "gguf" / f"{path.stem}-{content_key(path)}"
    if not folder.is_dir():
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise PolysenseError(f"LLM {name!r} is no GGUF file, whatever its name says")
        with new_folder(folder) as inside:
            unpack_gguf(path, inside)
    return folder


def content_key(path: Path) -> str:
    """Return a hash of a file's size, beginning, middle and end."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for place in (0, size // 2, max(0, size - SAMPLE)):
            file.seek(place)
            digest.update(file.read(SAMPLE))
    return digest.hexdigest()[:16]


def unpack_gguf(gguf: Path, folder: Path) -> None:
    """Turn a quantised GGUF file into a bf16 safetensors folder with tokenizer and template."""
    import transformers

    # From 5.2x on transformers keeps GGUF weights packed unless told otherwise.
    config = getattr(transformers, "GgufConfig", None)
    options = (
        {"quantization_config": config(gguf_file=gguf.name, dequantize=True)} if config else {}
    )
    try:
        llm = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, **options
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except ImportError as error:
        raise PolysenseError(
            "GGUF is read by the package gguf: pip install 'polysense[laptop]'"
        ) from error
    except DAMAGE as error:  # whatever a parser raises over a file that is cut or unknown to it
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise PolysenseError(f"LLM {str(gguf)!r} cannot be unpacked: {reason}") from error
    llm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
