"""Every task reads an utterance as its parameters say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nymph.errors import NymphError
from nymph.sequences.documents import build_documents
from nymph.sequences.mix import MixCounts, MixOptions
from nymph.sequences.schema import Modality
from nymph.sequences.statistics import FeatureStatistics
from nymph.sequences.streams import Tools
from nymph.sequences.tasks import FEATURES, TASKS, Task
from nymph.text.tokenizer import Tokenizer

from .conftest import FRAMES, arrays, make_utterance

LONG = 10_000


def documents(task: Task, tools: Tools, *utterances: dict[str, Any]) -> list[Any]:
    """The arrays of a task's documents."""
    return [arrays(one) for one in build_documents(utterances, tools, MixOptions({"task": task}), LONG)]


def target_text(document: Any, tokenizer: Tokenizer) -> str:
    counted = (document.loss_weight > 0) & (document.modality == Modality.TEXT)
    return tokenizer.decode(document.tokens[counted])


def test_a_misspelt_task_is_no_new_one() -> None:
    with pytest.raises(NymphError, match="did you mean 'speak'"):
        MixOptions({**TASKS, "speek": Task(weight=0)})


def test_transcribe_gives_the_sound_and_counts_the_words(tools: Tools) -> None:
    utterance = make_utterance("r", 4)
    (made,) = build_documents([utterance], tools, MixOptions({"task": TASKS["transcribe"]}), LONG)
    document = arrays(made)
    assert target_text(document, tools.tokenizer) == utterance["text"]
    frames = utterance["frames"]["stop"] - utterance["frames"]["start"]
    assert len(document.audio) == -(-frames // 8)
    assert (document.modality[document.audio_position] == Modality.AUDIO).all()
    assert made.whole


def test_emotion_is_a_target_before_the_words(tools: Tools) -> None:
    (document,) = documents(TASKS["transcribe_with_emotion"], tools, make_utterance("r", 0))
    counted = document.tokens[document.loss_weight > 0]
    assert counted[0] == tools.tokenizer.id("<|sentiment:positive|>")


def test_an_absent_emotion_is_not_learned_as_none(tools: Tools) -> None:
    utterance = make_utterance("r", 0) | {"sentiment": None}
    counts = MixCounts()
    options = MixOptions({"task": TASKS["transcribe_with_emotion"]})
    assert list(build_documents([utterance], tools, options, LONG, counts)) == []
    assert counts.skipped == {"task: a stream is absent": 1}


def test_an_untrusted_emotion_is_learned_only_where_asked_for(tools: Tools) -> None:
    utterance = make_utterance("r", 0)
    utterance["sentiment"] |= {"trusted": False}
    (masked,) = documents(TASKS["transcribe"], tools, utterance)
    (kept,) = documents(TASKS["transcribe"], replace(tools, untrusted_sentiment=True), utterance)
    assert (masked.sentiment == -1).all()
    assert (kept.sentiment != -1).any()
    assert documents(TASKS["transcribe_with_emotion"], tools, utterance) == []


def test_the_prompt_is_the_tasks_name_in_words(tools: Tools) -> None:
    task = Task(conditions=("audio",))
    (document,) = build_documents([make_utterance("r", 0)], tools, MixOptions({"write_it_down": task}), LONG)
    assert tools.tokenizer.decode(arrays(document).tokens).startswith("<|task|>write it down<|audio_start|>")


def test_a_text_token_carries_the_sound_of_its_time(tools: Tools) -> None:
    utterance = make_utterance("r", 0)
    thousandth = replace(tools, statistics=FeatureStatistics(mel_deviation=(1000.0,) * 80))
    (document,) = documents(Task(carries=FEATURES, prompt=""), thousandth, utterance)
    assert len(document.audio_position) == (document.modality == Modality.TEXT).sum()
    for at, patch in zip(document.audio_position, document.audio, strict=True):
        start, end = document.seconds[at] * 100
        assert start - 1 <= float(patch[0]) * 1000 <= end + 1
    assert (document.sentiment[document.modality == Modality.TEXT] == 2).all()
    assert np.isfinite(document.prosody[document.modality == Modality.TEXT]).all()


def test_a_text_token_carries_the_rate_of_its_word_and_else_of_its_utterance(tools: Tools) -> None:
    utterance = make_utterance("r", 0)
    utterance["words"][1]["prosody"] = [None, None, None, 0.7, -30.0, 7.0, 0.0]
    (document,) = documents(Task(carries=("prosody",), prompt=""), tools, utterance)
    rates = np.round(document.prosody[:, 3].astype(float) * 1.5 + 4.0, 2)[document.modality == Modality.TEXT]
    tokens = document.tokens[document.modality == Modality.TEXT]
    birch = tools.tokenizer.decode(token for token, rate in zip(tokens, rates, strict=True) if rate == 7.0)
    assert birch == " birch"
    assert set(rates) == {4.0, 7.0}


def test_patches_are_the_frames_of_their_positions(tools: Tools) -> None:
    utterance = make_utterance("r", 0)
    (document,) = documents(TASKS["transcribe"], tools, utterance)
    start = utterance["frames"]["start"]
    mel = np.stack(FRAMES["log_mel"].to_pylist()[start : start + 16]).astype(np.float32)
    expected = np.clip(mel, -10, 10).astype(np.float16).reshape(2, 640)
    np.testing.assert_array_equal(document.audio[:2], expected)


def test_prosody_is_the_mean_over_the_span_and_absent_where_unvoiced(tools: Tools) -> None:
    (document,) = documents(TASKS["transcribe"], tools, make_utterance("r", 0))
    log_f0 = document.prosody[document.audio_position, 0].astype(float)
    np.testing.assert_allclose(log_f0, (np.log(150) - 5.0) / 0.35, rtol=2e-3)
    voiced = document.prosody[document.audio_position[:4], 1].astype(float)
    np.testing.assert_allclose(voiced, (0.75 - 0.5) / 0.5, rtol=1e-2)


def test_tasks_without_carried_features_leave_text_bare(tools: Tools) -> None:
    (document,) = documents(TASKS["transcribe"], tools, make_utterance("r", 0))
    text = document.modality == Modality.TEXT
    assert np.isnan(document.prosody[text]).all()
    assert not text[document.audio_position].any()


def test_interleave_puts_each_words_sound_before_it(tools: Tools) -> None:
    utterance = make_utterance("r", 0)
    (document,) = documents(TASKS["interleave"], tools, utterance)
    assert target_text(document, tools.tokenizer) == utterance["text"]
    sound_end = np.maximum.accumulate(np.where(document.modality == Modality.AUDIO, document.seconds[:, 1], 0))
    text = document.modality == Modality.TEXT
    assert (sound_end[text] >= document.seconds[text, 1] - 0.006).all()
    assert len(document.audio) == -(-(utterance["frames"]["stop"] - utterance["frames"]["start"]) // 8)


def test_only_the_assistant_counts_in_a_chat(tools: Tools) -> None:
    turns = [
        make_utterance("c", k) | {"kind": "chat", "role": role, "words": [], "frames": None}
        for k, role in enumerate(["system", "user", "assistant"])
    ]
    (document,) = documents(TASKS["converse"], tools, *turns)
    assert target_text(document, tools.tokenizer) == turns[2]["text"]
    counted = document.tokens[document.loss_weight > 0].tolist()
    assert counted[-2:] == [tools.tokenizer.id("<|end_of_turn|>"), tools.tokenizer.id("<|end_of_document|>")]


def test_the_turns_of_people_all_count(tools: Tools) -> None:
    (document,) = documents(TASKS["converse"], tools, make_utterance("r", 0), make_utterance("r", 1))
    turn = tools.tokenizer.id("<|speaker_turn|>")
    assert (document.tokens == turn).sum() == 2
    assert (document.loss_weight[1:] == 1).all()


def test_a_long_utterance_is_divided_between_words_and_keeps_them_all(tools: Tools) -> None:
    utterance = make_utterance("r", 2, seconds_per_word=1.0)
    counts = MixCounts()
    options = MixOptions({"task": TASKS["transcribe"]})
    parts = list(build_documents([utterance], tools, options, 100, counts))
    assert len(parts) > 1
    assert max(part.length for part in parts) <= 100
    assert "".join(target_text(arrays(part), tools.tokenizer) for part in parts) == utterance["text"]
    assert counts.divided == {"task": 1}
    assert (
        sum(len(arrays(part).audio) for part in parts)
        >= (utterance["frames"]["stop"] - utterance["frames"]["start"]) // 8
    )


def test_fractional_weights_take_their_share_the_same_every_time(tools: Tools) -> None:
    corpus = [make_utterance(f"{k:x}", 0) for k in range(300)]
    options = MixOptions({"task": Task(weight=0.3)})
    taken = [[document.id for document in build_documents(corpus, tools, options, LONG)] for _ in range(2)]
    assert taken[0] == taken[1]
    assert 60 < len(taken[0]) < 120


def test_a_source_pattern_scales_the_mix(tools: Tools) -> None:
    options = MixOptions({"task": Task()}, sources={"audio/*": 2.0})
    assert len(list(build_documents([make_utterance("r", 0)], tools, options, LONG))) == 2


def test_an_unknown_sentiment_leaves_the_utterance_out_by_name(tools: Tools) -> None:
    wrong = make_utterance("r", 0) | {"sentiment": {"label": "glee"}}
    counts = MixCounts()
    found = list(build_documents([wrong, make_utterance("r", 1)], tools, MixOptions({"t": Task()}), LONG, counts))
    assert len(found) == 1
    assert "glee" in next(iter(counts.skipped))


def test_a_lone_surrogate_leaves_the_utterance_out(tools: Tools) -> None:
    wrong = make_utterance("r", 0) | {"text": "a\ud800"}
    counts = MixCounts()
    assert not list(build_documents([wrong], tools, MixOptions({"t": Task()}), LONG, counts))
    assert "lone surrogate" in next(iter(counts.skipped))


def test_a_misspelt_stream_names_the_nearest() -> None:
    with pytest.raises(NymphError, match="did you mean 'sentiment'"):
        Task(targets=("sentimant",))  # type: ignore[arg-type]
