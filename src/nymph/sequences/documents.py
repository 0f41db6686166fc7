"""Utterances to documents: each recording, through every task, as often as the mix says.

Which utterances a fractional weight takes is decided by a hash of their ids, so the mix is the same on every machine,
in every order and for any number of processes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import groupby, islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.sequences.document import Document, Segment
from nymph.sequences.mix import MixCounts, MixOptions
from nymph.sequences.schema import Modality
from nymph.sequences.streams import Tools, Utterance, UtteranceStreams
from nymph.sequences.tasks import Stream, Task, prompt_of
from nymph.text.tokenizer import Tokenizer
from nymph.text.vocabulary import END_OF_DOCUMENT, TASK

PASSAGE = 256
"""Most utterances of one recording that are in memory, and in a document, together."""
Item = TypeVar("Item")


def build_documents(
    utterances: Iterable[Utterance],
    tools: Tools,
    options: MixOptions,
    context_length: int,
    counts: MixCounts | None = None,
) -> Iterator[Document]:
    """Documents of a stream of utterances whose recordings stand together, one passage in memory at a time.

    A conditional document longer than `context_length` is divided between words; see `divide`.
    """
    tally = counts if counts is not None else MixCounts()
    prompts = {name: _prompt(name, task, tools.tokenizer) for name, task in options.tasks.items()}
    for passage in passages(_readable(utterances, tools, tally), lambda one: one.utterance):
        for name, task in options.tasks.items():
            for document in _task_documents(name, task, passage, prompts[name], tools, options, context_length, tally):
                tally.add(document)
                yield document


def passages(items: Iterable[Item], utterance_of: Callable[[Item], Utterance]) -> Iterator[list[Item]]:
    """Consecutive utterances of one recording, at most `PASSAGE` of them, as lists."""
    for _, recording in groupby(items, key=lambda item: utterance_of(item)["recording"]):
        while passage := list(islice(recording, PASSAGE)):
            yield passage


def build_document(
    name: str, task: Task, group: Sequence[UtteranceStreams], prompt: Sequence[Segment], tokenizer: Tokenizer
) -> Document | None:
    """The document of one task over utterances; None where a target, or every condition, is absent."""
    conditions = [part for one in group for part in _streams(one, task.conditions, 0.0, task)]
    targets = [part for one in group for part in _target_parts(one, task)]
    if not targets or (task.conditional and not conditions):
        return None
    end = Segment(np.array([tokenizer.id(END_OF_DOCUMENT)]), Modality.CONTROL, 1.0)
    first = group[0].utterance
    return Document(
        (*prompt, *conditions, *targets, end),
        id=first["id"] if task.unit == "utterance" else first["recording"],
        task=name,
        source=first["kind"],
        whole=task.conditional,
    )


def divide(utterance: Utterance) -> list[Utterance]:
    """An utterance cut in two at its longest pause between timed words near the middle; itself if it cannot be."""
    words = utterance.get("words") or []
    quarter = len(words) // 4
    gaps = [
        (words[k]["start"] - words[k - 1]["end"], -abs(k - len(words) // 2), k)
        for k in range(max(1, quarter), len(words) - quarter)
        if words[k].get("start") is not None and words[k - 1].get("end") is not None
    ]
    if not gaps:
        return [utterance]
    cut = max(gaps)[2]
    at = _character(utterance["text"], words[: cut + 1])
    seconds = (words[cut - 1]["end"] + words[cut]["start"]) / 2
    halves = [
        {**utterance, "text": utterance["text"][:at], "words": words[:cut], "end": seconds},
        {**utterance, "text": utterance["text"][at:], "words": words[cut:], "start": seconds},
    ]
    return [_with_frames(half, utterance.get("frames"), seconds, first=half is halves[0]) for half in halves]


def _task_documents(
    name: str,
    task: Task,
    recording: Sequence[UtteranceStreams],
    prompt: Sequence[Segment],
    tools: Tools,
    options: MixOptions,
    context_length: int,
    counts: MixCounts,
) -> Iterator[Document]:
    of_kind = [one for one in recording if one.utterance["kind"] in task.kinds]
    groups = [[one] for one in of_kind] if task.unit == "utterance" else [of_kind] if of_kind else []
    for group in groups:
        times = _repetitions(name, task, group[0].utterance, options)
        if times == 0:
            continue
        try:
            document = build_document(name, task, group, prompt, tools.tokenizer)
        except NymphError as error:
            counts.skipped[f"{name}: {error}"] += 1
            continue
        if document is None:
            counts.skipped[f"{name}: a stream is absent"] += 1
            continue
        if task.conditional and document.length > context_length and len(group) == 1:
            parts = list(_divided(name, task, group[0], prompt, tools, context_length))
            counts.divided[name] += len(parts) > 1
            yield from parts * times
        else:
            yield from [document] * times


def _divided(
    name: str, task: Task, one: UtteranceStreams, prompt: Sequence[Segment], tools: Tools, limit: int
) -> Iterator[Document]:
    """The documents of an utterance's parts, divided until each fits or cannot be divided."""
    document = build_document(name, task, [one], prompt, tools.tokenizer)
    halves = divide(one.utterance) if document is not None and document.length > limit else []
    if len(halves) == 2:
        for half in halves:
            yield from _divided(name, task, UtteranceStreams(half, tools), prompt, tools, limit)
    elif document is not None:
        yield document


def _streams(one: UtteranceStreams, names: Sequence[Stream], weight: float, task: Task) -> list[Segment]:
    return [segment for name in names for segment in one.stream(name, weight, task.carries)]


def _target_parts(one: UtteranceStreams, task: Task) -> list[Segment]:
    """The target streams, all of them or none: an emotion that is absent must not be learned as no emotion."""
    parts = [one.stream(name, 1.0, task.carries) for name in task.targets]
    if not all(parts):
        return []
    announce = task.unit == "recording" and task.targets == ("text",)
    speaker = one.stream("speaker", 1.0, ()) if announce else []
    return [*speaker, *(segment for part in parts for segment in part)]


def _readable(utterances: Iterable[Utterance], tools: Tools, counts: MixCounts) -> Iterator[UtteranceStreams]:
    """The utterances that can be read; one with an unknown label or broken text is left out and counted."""
    stream = iter(utterances)
    while block := list(islice(stream, PASSAGE)):
        for utterance, ids in zip(block, _encoded(block, tools.tokenizer), strict=True):
            try:
                one = UtteranceStreams(utterance, tools, ids)
            except NymphError as error:
                counts.skipped[f"utterance left out: {error}"] += 1
                continue
            if len(one.ids):
                yield one


def _encoded(block: list[Utterance], tokenizer: Tokenizer) -> Sequence[NDArray[np.uint32] | None]:
    """Ids of a block's texts at once; None for all where one cannot be encoded, for then each is tried by itself."""
    try:
        return tokenizer.encode_many([utterance["text"] for utterance in block])
    except NymphError:
        return [None] * len(block)


def _prompt(name: str, task: Task, tokenizer: Tokenizer) -> list[Segment]:
    words = prompt_of(name, task)
    if not words:
        return []
    control = Segment(np.array([tokenizer.id(TASK)]), Modality.CONTROL)
    return [control, Segment(tokenizer.encode_array(words), Modality.TEXT)]


def _repetitions(name: str, task: Task, utterance: Utterance, options: MixOptions) -> int:
    """How often this unit is taken: the whole part of its weight, and the rest by a hash of what it is."""
    weight = task.weight
    for pattern, factor in options.sources.items():
        if pattern == utterance["kind"] or fnmatchcase(utterance["source"], pattern):
            weight *= factor
    unit = utterance["id"] if task.unit == "utterance" else utterance["recording"]
    digest = hashlib.sha256(f"{options.seed}|{name}|{unit}".encode()).digest()
    return int(weight) + (int.from_bytes(digest[:8], "big") / 2**64 < weight % 1)


def _character(text: str, words: Sequence[Mapping[str, Any]]) -> int:
    """Where the last of `words` begins in the text, its leading space included."""
    cursor = at = 0
    for word in words:
        spoken = word["word"].strip()
        found = text.find(spoken, cursor)
        if found >= 0:
            at, cursor = found, found + len(spoken)
    return at - 1 if at and text[at - 1] == " " else at


def _with_frames(half: dict[str, Any], frames: Mapping[str, Any] | None, seconds: float, first: bool) -> Utterance:
    if frames is None:
        return half
    cut = min(max(round(seconds * 100), frames["start"]), frames["stop"])
    span = {"stop": cut} if first else {"start": cut}
    return {**half, "frames": {**frames, **span}}
