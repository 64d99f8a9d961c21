"""Zero-, one- and few-shot prompts, as in figure 2.1 of Brown et al. 2020."""

import pytest

from zoo.generation import few_shot

TASK = "Translate English to French:"
EXAMPLES = [("sea otter", "loutre de mer"), ("peppermint", "menthe poivrée")]


def test_zero_shot():
    assert few_shot("cheese", TASK) == "Translate English to French:\ncheese =>"


def test_one_shot():
    assert few_shot("cheese", TASK, EXAMPLES[:1]) == (
        "Translate English to French:\nsea otter => loutre de mer\ncheese =>"
    )


def test_few_shot():
    assert few_shot("cheese", TASK, EXAMPLES) == (
        "Translate English to French:\n"
        "sea otter => loutre de mer\n"
        "peppermint => menthe poivrée\n"
        "cheese =>"
    )


def test_without_words_or_with_others():
    assert few_shot("cheese") == "cheese =>"
    assert few_shot("c", "Q", [("a", "b")], arrow=": ", separator="\n\n") == (
        "Q\n\na: b\n\nc:"
    )


def test_examples_are_pairs():
    with pytest.raises(ValueError, match=r"a pair.*got \('a', 'b', 'c'\)"):
        few_shot("x", examples=[("a", "b", "c")])
    with pytest.raises(ValueError, match="a pair.*got 'ab'"):
        few_shot("x", examples=["ab"])
