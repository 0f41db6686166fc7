from nymph.transcription.schema import Word
from nymph.transcription.utterances import ends_sentence, split_utterances


def words(*timed: tuple[str, float, float]) -> list[Word]:
    return [Word(word, start, end, 0.9, "aligned") for word, start, end in timed]


def texts(said: list[Word], pause_s: float = 0.7, longest_s: float = 15.0) -> list[str]:
    return [" ".join(word.word for word in part) for part in split_utterances(said, pause_s, longest_s)]


def test_a_sentence_ends_an_utterance() -> None:
    said = words(("Hello.", 0, 0.5), ("I'm", 0.5, 0.7), ("here.", 0.7, 1.0))
    assert texts(said) == ["Hello.", "I'm here."]


def test_a_pause_ends_an_utterance() -> None:
    said = words(("well", 0, 0.5), ("yes", 1.5, 2.0))
    assert texts(said) == ["well", "yes"]
    assert texts(said, pause_s=1.1) == ["well yes"]


def test_an_abbreviation_does_not_end_one() -> None:
    assert not ends_sentence("Dr.")
    assert not ends_sentence("e.g.")
    assert ends_sentence("Chicago.")
    assert ends_sentence('"Really?"')


def test_a_long_utterance_is_cut_at_its_longest_pause() -> None:
    said = words(("a", 0, 4), ("b", 4, 8), ("c", 8.5, 12), ("d", 12, 16))
    assert texts(said, longest_s=10) == ["a b", "c d"]


def test_no_word_is_lost_or_repeated() -> None:
    said = words(*[(f"w{i}", i * 0.5, i * 0.5 + 0.4) for i in range(100)])
    parts = list(split_utterances(said, 0.7, 3.0))
    assert [word for part in parts for word in part] == said
    assert all(part[-1].end - part[0].start <= 3.0 for part in parts)
