"""One vocabulary for everything that is said, read or typed."""

from dataclasses import asdict

from nymph.files import fingerprint
from nymph.pipelines.tokenizer.options import TokenizerParameters
from nymph.stages import Work, whole
from nymph.stores.utterances import Utterances
from nymph.text.tokenizer import train_tokenizer as train

VERSION = 1
"""Raised when the same texts and options would give another tokenizer than before."""


def train_tokenizer(utterances: Utterances, parameters: TokenizerParameters) -> Work:
    """Declare the tokenizer; texts are streamed from the utterances."""
    options = parameters.root
    key = fingerprint(VERSION, utterances.fingerprint, asdict(options))
    return whole("tokenizer", key, lambda: train((utterance["text"] for utterance in utterances), options))
