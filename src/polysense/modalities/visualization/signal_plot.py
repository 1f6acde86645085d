"""A signal of any shape as a picture for people, for modalities that do not draw their own.

What an encoder sees as pictures stays pictures, side by side; a few rows of numbers become traces;
everything else a heat map. Values are stretched to the range the signal has.
"""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw, ImageOps

WIDTH, HEIGHT = 320, 180  # pixels of traces and heat maps
MOST_TRACES = 12  # more rows than this are easier to read as a heat map
PAPER = "#fcfcfd"
COLOURS = ("#e8590c", "#2b8a3e", "#3b5bdb", "#9c36b5", "#0b7285", "#a61e4d")


def draw_pictures(signal: torch.Tensor) -> Image.Image:
    """Draw a signal [3, S, S], or [frames, 3, S, S] side by side."""
    frames = stretched(signal if signal.ndim == 4 else signal[None])
    pixels = (frames * 255).round().byte()
    return Image.fromarray(pixels.permute(2, 0, 3, 1).flatten(1, 2).numpy())


def draw_signal(signal: torch.Tensor) -> Image.Image:
    """Draw a signal [...]: its last dimension to the right, all others as rows."""
    rows = signal.reshape(-1, signal.shape[-1])
    if len(rows) <= MOST_TRACES and rows.shape[1] > 1:
        return draw_traces(rows)
    grey = Image.fromarray((stretched(rows) * 255).round().byte().numpy())
    picture = ImageOps.colorize(grey, black="#000004", mid="#b73779", white="#fcfdbf")
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX)


def draw_traces(rows: torch.Tensor) -> Image.Image:
    """Draw rows [R, T] as lines below each other, each with a scale of its own."""
    # At twice the size and then reduced, which smooths the lines.
    canvas = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), PAPER)
    pen, lane = ImageDraw.Draw(canvas), 2 * HEIGHT / len(rows)
    across = torch.linspace(8, 2 * WIDTH - 8, rows.shape[1]).tolist()
    for place, row in enumerate(rows):
        down = lane * (place + 0.9 - 0.8 * stretched(row))
        points = list(zip(across, down.tolist(), strict=True))
        pen.line(points, fill=COLOURS[place % len(COLOURS)], width=3, joint="curve")
    return canvas.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def stretched(values: torch.Tensor) -> torch.Tensor:
    """Return values in 0..1 on the CPU; a constant signal becomes 0.5, NaN counts as 0."""
    values = torch.nan_to_num(values.detach().float().cpu())
    low, high = values.aminmax()
    middle = (low + high) / 2
    return ((values - middle) / (high - low).clamp(min=1e-12) + 0.5).clamp(0, 1)
