"""What no text of a data set may hold: half a character, or the token that holds a signal's place.

Both are found when a line is read, so that the error names the line and comes before any work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polysense.data.placeholders import placeholder_token
from polysense.errors import PolysenseError


def check_texts(values: Any, modalities: Sequence[str]) -> None:
    """Check every text of a line, keys and nested ones too; errors do not say where."""
    tokens = {modality: placeholder_token(modality) for modality in modalities}
    for text in texts_of(values):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PolysenseError(
                f"the text {shown(text)} holds half a character ({text[error.start]!a}), as "
                "programs leave of an emoji that they cut in two: write it whole, or take it away"
            ) from error
        for modality, token in tokens.items():
            if token in text:
                raise PolysenseError(
                    f"the text {shown(text)} contains {token!r}, which holds the place of "
                    f"{modality} in this model's prompts: write another word, or name the file "
                    f"as {modality!r}"
                )


def texts_of(values: Any) -> Iterator[str]:
    """Yield every text of a line's values, in reading order."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield from texts_of(key)
            yield from texts_of(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from texts_of(value)


def shown(text: str) -> str:
    """Return the beginning of a text, quoted, as errors show it."""
    return ascii(text[:40]) if not text.isprintable() else repr(text[:40])
