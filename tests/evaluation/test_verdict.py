"""What is said of a result, and what to do next."""

import pytest
from fixtures.hand_made_evaluation import answers, hand_made, result

from polysense.evaluation.result import NOUN
from polysense.evaluation.verdict import (
    ALONE,
    BETTER,
    EQUAL,
    SHUFFLED,
    UNKNOWN,
    WORSE,
    judged,
    verdict,
)


@pytest.mark.parametrize(
    ("rates", "kind"),
    [
        ((0.53, 0.11, 0.29), BETTER),
        ((0.40, 0.11, 0.29), EQUAL),  # 40 samples: a rate is known to 15 points
        ((0.40, 0.11, 0.50), EQUAL),
        ((0.40, 0.11, 0.60), WORSE),
        ((0.25, 0.11, 0.00), SHUFFLED),
        ((0.53, 0.11, None), ALONE),
        ((0.53, None, 0.29), UNKNOWN),
        ((None, None, None), UNKNOWN),
    ],
)
def test_kinds(rates, kind):
    assert judged(result("image", NOUN, rates)) == kind


@pytest.mark.parametrize(
    ("rates", "kind"),
    [
        ((0.20, 0.00, 0.00), UNKNOWN),  # 19 samples: a rate is known to 22 points
        ((0.30, 0.00, 0.10), ALONE),
        ((0.30, 0.00, 0.40), ALONE),
        ((0.30, 0.00, 0.60), WORSE),
        ((1.00, 0.00, 0.70), BETTER),
    ],
)
def test_few_samples_say_what_is_wider_than_chance(rates, kind):
    few = result("image", NOUN, rates, answers=answers(19))
    assert judged(few) == kind
    assert ("score more held-out samples" in verdict(hand_made(few))) is (kind in (UNKNOWN, ALONE))


def test_the_sentence_compares_and_names_the_next_step_of_the_weakest():
    text = verdict(hand_made()).replace("\N{NO-BREAK SPACE}", " ")
    assert text == (
        "Is that good? image (53 % to 29 %): better than the nearest neighbour; audio (31 % to "
        "83 %): worse than the nearest neighbour. Next: train longer: the features tell more than "
        "the model says."
    )
    alone = verdict(hand_made(result("image", NOUN, (0.53, 0.11, None))))
    assert alone.replace("\N{NO-BREAK SPACE}", " ").startswith(
        "Is that good? image (53 % to 11 %): better than with shuffled signals. Next: "
    )
    alike = verdict(hand_made(*(result(name, NOUN, (0.2, 0.1, 0.3)) for name in ("a", "b"))))
    assert alike.replace("\N{NO-BREAK SPACE}", " ").startswith(
        "Is that good? a (20 % to 10 %), b (20 % to 10 %): no better with its own signals"
    )
