import pytest
from pydantic import ValidationError

from nymph.sentiment.score import SentimentOptions, score_texts


def test_plain_cases_come_out_right(classifier) -> None:
    texts = ["What a wonderful, brilliant film!", "This is a horrible, broken product.", "The shop opens at nine."]
    assert [score.label for score in score_texts(classifier, texts)] == ["positive", "negative", "neutral"]


def test_every_label_is_scored_and_the_scores_add_up(classifier) -> None:
    (score,) = score_texts(classifier, ["I like it."])
    assert set(score.scores) == {"negative", "neutral", "positive"}
    assert sum(score.scores.values()) == pytest.approx(1, abs=1e-5)
    assert score.score == max(score.scores.values())


def test_scores_come_in_the_order_of_the_texts(classifier) -> None:
    texts = ["I love you.", "A much longer sentence about the dreadful, terrible weather we had in spring.", "Awful."]
    together = score_texts(classifier, texts)
    assert [score.label for score in together] == [score_texts(classifier, [text])[0].label for text in texts]


def test_a_long_text_is_not_cut_off(classifier) -> None:
    text = "The shop opens at nine. " * 40 + "It was horrible, disgusting and cruel. " * 80
    (score,) = score_texts(classifier, [text], SentimentOptions(window_tokens=64))
    assert score.windows > 10
    assert score.label == "negative"


def test_a_blank_text_has_no_score(classifier) -> None:
    assert score_texts(classifier, ["", "  ", "Good."])[:2] == [None, None]
    assert score_texts(classifier, []) == []


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ValidationError, match="windowtokens"):
        SentimentOptions.model_validate({"windowtokens": 3})
