"""Given transcripts: times that were given are aligned, the others say that they were not."""

from nymph.transcription.given import given_utterances


def segment(text: str, start: float | None = None, end: float | None = None, words: list | None = None) -> dict:
    return {"text": text, "start": start, "end": end, "speaker": "Ann", "words": words}


def test_given_word_times_are_aligned() -> None:
    words = [{"word": "oh", "start": 1.0, "end": 1.2}, {"word": "yes", "start": 1.3, "end": 1.8}]
    (said,) = given_utterances([segment("oh yes", 1.0, 2.0, words)], 10.0)
    assert [(word["start"], word["timing"]) for word in said["words"]] == [(1.0, "aligned"), (1.3, "aligned")]
    assert (said["start"], said["end"], said["speaker"]) == (1.0, 2.0, "Ann")


def test_words_of_a_timed_utterance_share_it() -> None:
    (said,) = given_utterances([segment("abc abc", 4.0, 6.0)], 10.0)
    assert [(word["start"], word["end"], word["timing"]) for word in said["words"]] == [
        (4.0, 5.0, "interpolated"),
        (5.0, 6.0, "interpolated"),
    ]


def test_a_long_transcript_without_times_is_cut_at_its_sentences() -> None:
    said = list(given_utterances([segment("One two three. Four five six.")], 24.0))
    assert [part["text"] for part in said] == ["One two three.", "Four five six."]
    assert (said[0]["start"], said[-1]["end"]) == (0.0, 24.0)


def test_a_recording_of_unknown_length_gives_no_times() -> None:
    (said,) = given_utterances([segment("hello there")], None)
    assert {word["timing"] for word in said["words"]} == {"none"}


def test_what_runs_past_the_recording_ends_with_it() -> None:
    (said,) = given_utterances([segment("hello", 9.0, 10.4)], 10.0)
    assert said["end"] == 10.0
