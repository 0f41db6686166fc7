import re

from nymph.sentiment.windows import cut_windows


def offsets(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def test_a_short_text_is_one_window() -> None:
    (window,) = cut_windows("Fine by me.", offsets("Fine by me."), 10)
    assert (window.text, window.tokens) == ("Fine by me.", 4)


def test_no_token_is_lost_or_repeated() -> None:
    text = "One two three. Four five, six! Seven eight nine ten eleven twelve."
    windows = cut_windows(text, offsets(text), 5)
    assert sum(window.tokens for window in windows) == len(offsets(text))
    assert " ".join(window.text for window in windows).split() == text.split()
    assert all(window.tokens <= 5 for window in windows)


def test_a_window_ends_with_a_sentence_where_one_ends_late_enough() -> None:
    text = "It rained all day. Then the sun came out."
    assert cut_windows(text, offsets(text), 7)[0].text == "It rained all day."


def test_a_word_of_many_tokens_is_not_torn() -> None:
    text = "aa bbbb"
    windows = cut_windows(text, [(0, 2), (3, 5), (5, 7)], 2)
    assert [window.text for window in windows] == ["aa", "bbbb"]
