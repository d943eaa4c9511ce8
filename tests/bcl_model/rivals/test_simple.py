"""Methods that learn nothing: what is rare counts more, and plays of cold songs cannot change an answer."""

from dataclasses import replace

import numpy as np
import pytest

from bcl_model.errors import BadData, BadModelSettings
from bcl_model.evaluation.trial import split_of
from bcl_model.fields import Content, inferred
from bcl_model.rivals import RIVALS
from bcl_model.rivals.simple import content_neighbours, same
from tests.builders.songs import world

CONTENTS, PLAYS = world()
TRIAL = split_of(CONTENTS, PLAYS, inferred(CONTENTS), share=0.2).trial


def test_content_neighbours_say_the_same_in_rare_words_first() -> None:
    contents = [Content({"tag": words}) for words in [("a", "x"), ("a",), ("a",), ("a",), ("b", "x"), ("b",)]]
    fields = inferred(contents, min_songs=1)
    one = replace(TRIAL, contents=contents, fields=fields, cold=np.array([0]), warm=np.arange(1, 6))

    [similarity] = content_neighbours(one).similarities
    assert similarity[3] > similarity[0] > similarity[4] == 0  # x is rarer than a; b is not said


def test_a_field_that_is_not_there_is_named() -> None:
    with pytest.raises(BadData, match="there is no field 'label'; there are"):
        same("label")(TRIAL)


@pytest.mark.parametrize("name", ["random", "popularity", "content"])
def test_settings_of_a_method_without_any_are_refused(name: str) -> None:
    with pytest.raises(BadModelSettings, match="unknown key 'depth'"):
        RIVALS[name].make({"depth": 3})
