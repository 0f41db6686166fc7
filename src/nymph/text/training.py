"""Training byte-level BPE from a stream of texts, with a GPT-4-style pre-tokenizer.

`tokenizers` does the work at its own speed. What it learns has one merge per token, in token order, for whatever stood
around a token's bytes never merged with them; with whole pieces looked up first, `tokenizers` (merges by rank) and
tiktoken (pieces by token id) then cut every text alike, which is what lets columns be encoded by the faster of the two.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as FastTokenizer

from nymph.errors import NymphError
from nymph.text.normalisation import has_surrogate
from nymph.text.vocabulary import SpecialTokens

PATTERN = (
    r"(?:'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n])|\s+(?!\S)|\s+"
)
"""GPT-4's split (cl100k_base) with its case folding spelt out, because regex engines fold differently.

What looks ahead stands apart: tiktoken's engine runs the group before it as one automaton, a quarter faster.
"""

MAXIMUM_TOKEN_BYTES = 64
_ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


@dataclass(frozen=True)
class TokenizerOptions:
    """How the tokenizer is trained; the names are those of the original `tokenizer_config.json`."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    vocabulary_size: int = 32_768
    """Upper bound of all ids but audio units; a small corpus gives fewer."""
    minimum_frequency: int = 2
    """A pair is merged only if it was seen this often."""
    special_tokens: SpecialTokens = field(default_factory=SpecialTokens)
    """Control tokens, atomic and in front."""

    def __post_init__(self) -> None:
        least = len(special_ids(self.special_tokens)) + len(_ALPHABET)
        if self.vocabulary_size < least:
            raise NymphError(
                f"vocabulary_size: expected at least {least} (special tokens and 256 bytes), got {self.vocabulary_size}"
            )
        if self.minimum_frequency < 1:
            raise NymphError(f"minimum_frequency: expected 1 or more, got {self.minimum_frequency}")


def train_backend(texts: Iterable[str], options: TokenizerOptions) -> FastTokenizer:
    """A `tokenizers` tokenizer trained on a stream of texts: special tokens, then bytes, then merges."""
    specials = options.special_tokens
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocabulary_size,
        min_frequency=options.minimum_frequency,
        special_tokens=list(special_ids(specials)),
        initial_alphabet=_ALPHABET,
        max_token_length=MAXIMUM_TOKEN_BYTES,
        show_progress=False,
    )
    learner = FastTokenizer(models.BPE(ignore_merges=True))
    learner.pre_tokenizer = _pre_tokenizer()
    learner.train_from_iterator(_without_marks(_counted(texts), specials.punctuation), trainer)
    return _assemble(learner.model, specials)


def special_ids(specials: SpecialTokens) -> dict[str, int]:
    """Ids of control tokens and of punctuation that is not a byte by itself."""
    own = [mark for mark in specials.punctuation if len(mark.encode()) > 1]
    return {token: index for index, token in enumerate((*specials.control_tokens(), *own))}


def byte_of() -> dict[str, int]:
    """The byte that each character of the byte-level alphabet stands for (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + k): b for k, b in enumerate(others)}


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _counted(texts: Iterable[str]) -> Iterator[str]:
    """Pass texts on, without those UTF-8 cannot hold, which no row will hold either.

    An empty corpus is an error, for a tokenizer of bytes alone is never what was meant.
    """
    empty = True
    for text in texts:
        if text.isascii() or not has_surrogate(text):
            empty = empty and not text.strip()
            yield text
    if empty:
        raise NymphError("the corpus has no text to train a tokenizer on; put recordings, text or chats in data/01_raw")


def _without_marks(texts: Iterable[str], marks: tuple[str, ...]) -> Iterator[str]:
    """Cut texts where an atomic mark will stand, so that no merge is spent on what it spells."""
    pattern = re.compile("|".join(map(re.escape, marks)))
    for text in texts:
        if any(mark in text for mark in marks):
            yield from pattern.split(text)
        else:
            yield text


def _assemble(model: models.Model, specials: SpecialTokens) -> FastTokenizer:
    """The model with what belongs around it. The learner itself would take marks for control tokens."""
    backend = FastTokenizer(model)
    backend.pre_tokenizer = _pre_tokenizer()
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials.control_tokens()])
    backend.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in specials.punctuation])
    backend.encode_special_tokens = True
    return backend
