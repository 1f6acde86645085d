"""Tokens as the field's Java program has them: what it made of these, and what must not break.

The pairs were made by CoreNLP 3.4.1 with `-preserveLines -lowerCase`, then punctuation was dropped.
"""

import pytest

from polysense.evaluation.scoring.captioning import bleu, cider
from polysense.evaluation.scoring.ptb_tokenizer import ptb_words

PAIRS = """\
A cat having his/her head stick out. | a cat having his/her head stick out
black and white tub / shower. | black and white tub / shower
A water-stained cathedral/clock-tower by vines | a water-stained cathedral/clock-tower by vines
A hydrant of the Canada Valve & Hydrant Co, Ltd, | a hydrant of the canada valve & hydrant co ltd
A cake topped with M&Ms on a tray. | a cake topped with m&m s on a tray
S&B train number 3815 | s&b train number 3815
ANA (All Nippon Airways) airplanes | ana -lrb- all nippon airways -rrb- airplanes
to STOP [EATING ANIMALS]. | to stop -lsb- eating animals -rsb-
"Close the door when you leave!!! Thanks." | close the door when you leave !!! thanks
sitting by the curb?? | sitting by the curb ??
next to shrub.. | next to shrub
a washing machine... | a washing machine
between $3 and $4 per gallon. | between $ 3 and $ 4 per gallon
A vending machine with hot corn dogs for $2.00. | a vending machine with hot corn dogs for $ 2.00
Player #11 swings | player # 11 swings
sitting in bed.+9 | sitting in bed +9
a roll, an orange, and 1% milk. | a roll an orange and 1 % milk
The words "Connect_Anywhere" cover | the words connect_anywhere cover
A large U.S Air Force plain | a large u.s air force plain
A lot of spectators in Washington D.C. | a lot of spectators in washington d.c.
A dirty toilet in a bathroom.with items on top. | a dirty toilet in a bathroom.with items on top
toilet,bathtub.In between is | toilet bathtub.in between is
A healthy cat us lying I. The step | a healthy cat us lying i the step
this is a street sign for W. Centre st. | this is a street sign for w. centre st.
T,V. with a game | t v. with a game
talking on a cell phone., | talking on a cell phone.
men's' room, please don't use | men 's room please do n't use
it is eleven o'clock | it is eleven o'clock
RAY'S TAVERN | ray 's tavern
The signs say 'don't STOP believing". | the signs say do n't stop believing
outside of a Dunkin' Donuts. | outside of a dunkin' donuts
You cannot see, and they're gonna go | you can not see and they 're gon na go
corner of 8th ave. and 22 3/4 st. | corner of 8th ave. and 22 3/4 st.
a clock at 11:30 p.m. on a 4-way street | a clock at 11:30 p.m. on a 4-way street
just opened at 6 am-11am. | just opened at 6 am-11am
in the sky flying -- fast - and low | in the sky flying fast and low
>> A herd; 1,000 sheep | >> a herd 1,000 sheep
"""


@pytest.mark.parametrize("pair", PAIRS.splitlines())
def test_tokens_are_the_programs(pair):
    caption, tokens = pair.split(" | ")
    assert ptb_words(caption) == tokens.split(" ")


@pytest.mark.parametrize(
    ("word", "two"),
    [("cannot", "can not"), ("gonna", "gon na"), ("gotta", "got ta"), ("wanna", "wan na"),
     ("gimme", "gim me"), ("Lemme", "lem me")],
)  # fmt: skip
def test_words_that_are_two(word, two):
    assert ptb_words(word) == two.split()


@pytest.mark.parametrize("odd", ["\r", "\u2028", "|||", ".,;:", "", "a" * 10_000, "a." * 5_000])
def test_odd_captions_shift_no_other(odd):
    reference = [["a red car on a road"], ["two blue boats at sea"], ["some green trees in rain"]]
    said = [odd, *(group[0] for group in reference[1:])]
    assert cider(said, reference) == pytest.approx([0, 10, 10])
    assert all(0 <= score < 1 for score in bleu(said, reference))


def test_a_full_stop_is_no_word():
    assert bleu(["A red car on a road"], [["a red car on a road."]]) == pytest.approx([1] * 4)
    assert bleu(["the man's dog"], [["the man 's dog"]])[3 - 1] == pytest.approx(1)
