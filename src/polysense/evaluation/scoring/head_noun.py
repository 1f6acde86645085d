"""The head noun of a short English caption: what the picture is called, by a few rules.

"A brown hen with her chicks." -> "hen"; "A bunch of grapes." -> "grape". The caption is cut at the
first word that begins a description, then its last word counts, in the singular.
"""

from __future__ import annotations

import re

from polysense.evaluation.scoring.captioning import words

# What follows one of these describes the noun before it.
ENDS = frozenset(
    """
    with in on at by from for to into under over behind and or that which who whose is are was
    has have can as used uses carrying carries carry wearing holding sitting standing made
    called eating flying lying looking showing being makes make made gets commonly closest
    near without while where when because through
    """.split()
)

# "A slice of lemon" is a lemon, "The baby of a gnu" is no gnu: only measures pass "of".
MEASURES = frozenset(
    """
    bunch pair piece slice group set bowl cup glass bag box pile head stick loaf ear bottle
    can plate basket herd flock kind type sort view picture photo drawing image part lot
    """.split()
)

LEADING = frozenset(
    """
    a an the some this that these those two three four five six it its
    """.split()
)

PLURALS = {
    "feet": "foot",
    "teeth": "tooth",
    "geese": "goose",
    "mice": "mouse",
    "men": "man",
    "women": "woman",
    "children": "child",
    "leaves": "leaf",
    "wolves": "wolf",
    "knives": "knife",
    "people": "person",
    "shelves": "shelf",
    "loaves": "loaf",
}


def singular(word: str) -> str:
    """Return the singular of a noun, by its ending."""
    if word in PLURALS:
        return PLURALS[word]
    if len(word) < 4 or word.endswith(("ss", "us", "is", "'s")) or not word.endswith("s"):
        return word.removesuffix("'s")
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "oes")):
        return word[:-2]
    return word[:-1]


def head_noun(caption: str) -> str:
    """Return the head noun in lower case, singular; "" for a caption without words."""
    clause = re.split(r"[.,;:!?()—]|\s[-–]\s", caption.strip().strip("\"'"))
    tokens = next((found for part in clause if (found := words(part))), [])
    while len(tokens) > 1 and tokens[0] in LEADING:
        tokens = tokens[1:]
    kept: list[str] = []
    for position, token in enumerate(tokens):
        if token == "of" and kept:
            if singular(kept[-1]) in MEASURES and position + 1 < len(tokens):
                return head_noun(" ".join(tokens[position + 1 :]))
            break
        if token in ENDS and kept:
            break
        kept.append(token)
    return singular(kept[-1]) if kept else ""


def same_noun(prediction: str, reference: str) -> bool:
    """Whether two captions have the same head noun."""
    return head_noun(reference) != "" and head_noun(prediction) == head_noun(reference)
