"""One vocabulary for everything that is said, read or typed."""

from dataclasses import asdict

from nymph.files import fingerprint
from nymph.pipelines.tokenizer.options import TokenizerParameters
from nymph.stages import Work, whole
from nymph.stores.utterances import Utterances
from nymph.text.prosody import learn_edges
from nymph.text.tokenizer import Tokenizer
from nymph.text.tokenizer import train_tokenizer as train
from nymph.text.training import TokenizerOptions

VERSION = 2
"""Raised when the same texts and options would give another tokenizer than before."""


def train_tokenizer(utterances: Utterances, parameters: TokenizerParameters) -> Work:
    """Declare the tokenizer; texts are streamed from the utterances."""
    options = parameters.root
    key = fingerprint(VERSION, utterances.fingerprint, asdict(options))
    return whole("tokenizer", key, lambda: _learn(utterances, options))


def _learn(utterances: Utterances, options: TokenizerOptions) -> Tokenizer:
    """The vocabulary from the texts, and the edges of the prosody bins from how they were said."""
    tokenizer = train((utterance["text"] for utterance in utterances), options)
    return tokenizer.with_prosody_edges(learn_edges(utterances, options.special_tokens.prosody_bins))
