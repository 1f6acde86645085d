"""The report of a run: one HTML page that holds everything, and the loss curve as a PNG.

In: a run folder with its logs, the evaluation, the model and the config. Out: report.html (no
outside resource), loss.png.
"""

from __future__ import annotations

import base64
import datetime
import io
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from PIL import Image

from polysense.config import RunConfig
from polysense.evaluation.evaluate import Evaluation
from polysense.model.describe import part_rows
from polysense.overrides import to_json
from polysense.training.journal import LOG

THUMBNAIL = 220


def write_report(folder: Path, result: Evaluation, model: Any, config: RunConfig) -> Path:
    """Write report.html and loss.png into the run folder; returns the page's path."""
    curve = folder / "loss.png"
    draw_losses([folder / "stages" / stage.name / LOG for stage in config.stages], curve)
    environment = Environment(loader=PackageLoader("polysense", "evaluation"), autoescape=True)
    answers = [{**asdict(answer), "picture": thumbnail(answer.file)} for answer in result.answers]
    page = environment.get_template("report.html.jinja").render(
        recipe=config.recipe,
        date=datetime.date.today().isoformat(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        sentence=sentence(result),
        result=result,
        answers=answers,
        curve=data_uri(curve.read_bytes(), "png"),
        parts=part_rows(model),
        config=json.dumps(to_json(config), indent=2),
    )
    scratch = folder / ".report.html"
    scratch.write_text(page, encoding="utf-8")
    scratch.replace(folder / "report.html")
    return folder / "report.html"


def sentence(result: Evaluation) -> str:
    """Return the result in one sentence."""
    noun, top = result.figure("head-noun accuracy"), result.figure("retrieval top-5")
    near = (
        f", the nearest training picture's caption {noun.neighbour:.0%}" if noun.neighbour else ""
    )
    return (
        f"Of {result.held_out} held-out samples the model names {noun.model:.0%} right (with "
        f"shuffled signals {noun.blind:.0%}{near}), and finds the true caption among the "
        f"{result.captions} best five in {top.model:.0%} (shuffled {top.blind:.0%})."
    )


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes of a picture as something a page can hold."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail(file: str) -> str:
    """Return a small copy of a picture for the page; "" for what is no picture."""
    try:
        with Image.open(file) as picture:
            small = picture.convert("RGBA")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            ground = Image.new("RGBA", small.size, (255, 255, 255, 255))
            buffer = io.BytesIO()
            Image.alpha_composite(ground, small).convert("RGB").save(buffer, "JPEG", quality=82)
    except OSError:
        return ""
    return data_uri(buffer.getvalue(), "jpeg")


def draw_losses(logs: list[Path], to: Path) -> None:
    """Draw each stage's training, held-out and blind loss over its steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(logs), figsize=(5 * len(logs), 3.4), squeeze=False, layout="constrained"
    )
    for place, log in zip(axes[0], logs, strict=True):
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        for name, label, style in (
            ("loss", "training", {"color": "#c3cbe0", "linewidth": 1}),
            ("held_out_loss", "held out", {"color": "#3b5bdb", "marker": "o", "markersize": 4}),
            (
                "blind_loss",
                "held out, shuffled",
                {"color": "#e8590c", "marker": "o", "markersize": 4},
            ),
        ):
            points = [(line["step"], line[name]) for line in lines if name in line]
            if points:
                place.plot(*zip(*points, strict=True), label=label, **style)
        place.set_title(log.parent.name)
        place.set_xlabel("step")
        place.set_ylabel("nats per token")
        place.grid(alpha=0.25)
        place.legend(frameon=False)
    scratch = to.with_name(f".{to.name}")
    figure.savefig(scratch, dpi=130, format="png")
    pyplot.close(figure)
    scratch.replace(to)
