"""An evaluation with every number known: two modalities, of which one has labels."""

from polysense.evaluation.result import (
    CIDER,
    FOUND,
    LABEL,
    NOUN,
    Evaluation,
    File,
    Metric,
    ModalityResult,
    Prediction,
    macro_average,
)


def answers(count, files=(("image", "a.png"),)):
    """As many samples, of which the first is right."""
    return tuple(
        Prediction(
            f"folder/{index}.png", tuple(File(*file) for file in files), "A bell.",
            "A bell." if index == 0 else "A drum.", "A horn.", index == 0, index + 1,
        )
        for index in range(count)
    )  # fmt: skip


def result(modality, name, rates, **changes):
    """A modality with 40 samples; `rates` are the model's, the shuffled and the neighbour's."""
    metrics = (
        Metric(name, *rates), Metric(FOUND, 0.61, 0.07, None), Metric(CIDER, 1.234, 0.456, 0.789),
        Metric("median rank", 3.0, 12.0, None),
    )  # fmt: skip
    values = {
        "sense": modality, "trained": 1234, "held_out": 56, "captions": 17, "labels": name == LABEL,
        "sources": {"real": 9}, "metrics": metrics, "answers": answers(40),
    }  # fmt: skip
    return ModalityResult(**{**values, **changes})


def hand_made(*results):
    """The evaluation of these results, or of two: images above their neighbour, sounds below."""
    modalities = results or (
        result("image", NOUN, (0.53, 0.11, 0.29)),
        result("audio", LABEL, (0.31, 0.05, 0.83)),
    )
    return Evaluation(modalities, macro_average(modalities), {"question": "What is this?"})
