"""The tokenizer: text to ids and back, one text or a whole Arrow column, and the same object for `transformers`.

Ordinary text can never produce a control token: a transcript that says "<|assistant|>" is encoded letter by letter.
Columns go through tiktoken where it is installed (several times the speed at equal ids), else through `tokenizers`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import AddedToken
from tokenizers import Tokenizer as FastTokenizer

from nymph.errors import NymphError
from nymph.files import atomic_file, fingerprint, read_json, write_json
from nymph.text.backend import Encoder, fastest_encoder
from nymph.text.training import TokenizerOptions, byte_of, special_ids, train_backend
from nymph.text.vocabulary import CHAT_TEMPLATE, END_OF_TURN, PADDING, SpecialTokens, unit_token

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CONFIGURATION = "tokenizer_config.json"
"""Written beside tokenizer.json; `transformers` reads it too, and finds the chat template in it."""


@dataclass(frozen=True)
class Extras:
    """What the tokenizer knows that has no place in `tokenizer.json`."""

    special_tokens: SpecialTokens = field(default_factory=SpecialTokens)
    """The declaration the control tokens came from."""
    prosody_edges: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Inner quantile edges of pitch (Hz), energy (dB) and rate (syllables/s); empty until learned."""
    audio_units: int = 0
    """Audio units appended behind the text tokens."""


class Tokenizer:
    """Byte-level BPE with atomic control tokens. Immutable: what adds to it returns a new one."""

    def __init__(self, backend: FastTokenizer, extras: Extras) -> None:
        backend.encode_special_tokens = True
        self.backend = backend
        self.extras = extras
        self._controls = frozenset(extras.special_tokens.control_tokens())

    @property
    def size(self) -> int:
        """Number of ids, audio units included."""
        return len(self._ids)

    @cached_property
    def byte_lengths(self) -> NDArray[np.int32]:
        """Bytes of text each id stands for; a control token counts its own name."""
        return np.array([len(value) for value in self._bytes], np.int32)

    @property
    def id_ranges(self) -> dict[str, tuple[int, int]]:
        """First id and the one after the last of control tokens, marks, text and audio units, which alone can grow."""
        controls = len(self._controls)
        marks = len(special_ids(self.extras.special_tokens))
        units = self.size - self.extras.audio_units
        return {
            "control": (0, controls),
            "marks": (controls, marks),
            "text": (marks, units),
            "audio_units": (units, self.size),
        }

    @property
    def token_type(self) -> pa.DataType:
        """The narrowest Arrow type of a training row that holds every id."""
        return pa.uint16() if self.size <= 2**16 else pa.int32()

    @property
    def fingerprint(self) -> str:
        """32 hex digits that stand for every id and rule of this tokenizer."""
        return fingerprint(json.loads(self.backend.to_str()), asdict(self.extras))

    def id(self, token: str) -> int:
        """The id of a control token, an audio unit or any other token as the vocabulary spells it."""
        if token not in self._ids:
            raise NymphError(f"the tokenizer has no token {token!r}; declare it among special_tokens and train again")
        return self._ids[token]

    def has(self, token: str) -> bool:
        """Whether the vocabulary holds this token."""
        return token in self._ids

    def encode(self, text: str) -> list[int]:
        """Ids of ordinary text; NymphError where it holds half a surrogate pair, which is not Unicode text."""
        return self.encode_array(text).tolist()

    def encode_array(self, text: str) -> NDArray[np.uint32]:
        """`encode` as a numpy array."""
        try:
            return self._encoder.encode(text)
        except UnicodeEncodeError as error:
            raise NymphError(
                f"text holds a lone surrogate at character {error.start}; normalise it with nymph.text.normalisation"
            ) from None

    def encode_many(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """`encode_array` of many texts at several times its speed, where texts are short."""
        try:
            values, counts = self._encoder.encode_many(texts)
        except UnicodeEncodeError:
            return [self.encode_array(text) for text in texts]  # says which
        return np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []

    def encode_column(self, texts: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Ids of a string column as lists of `token_type`, null for null; ids equal `encode`'s."""
        column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
        values, counts = self._encoder.encode_many(column.drop_null().to_pylist())
        lengths = np.zeros(len(column), np.int64)
        valid = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)
        lengths[valid] = counts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return _list_array(offsets, values.astype(self.token_type.to_pandas_dtype()), valid)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, control tokens by their names; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(self._bytes[index] for index in ids).decode("utf-8", "replace")

    def with_prosody_edges(self, edges: dict[str, tuple[float, ...]]) -> "Tokenizer":
        """This tokenizer with learned prosody bins."""
        return Tokenizer(self.backend, replace(self.extras, prosody_edges=edges))

    def with_audio_units(self, units: int) -> "Tokenizer":
        """This tokenizer with audio units 0 to `units` - 1 behind all other tokens; it can grow, never shrink."""
        if units < self.extras.audio_units:
            raise NymphError(f"audio units can grow, not shrink: have {self.extras.audio_units}, asked for {units}")
        backend = FastTokenizer.from_str(self.backend.to_str())
        names = [unit_token(unit) for unit in range(self.extras.audio_units, units)]
        backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
        return Tokenizer(backend, replace(self.extras, audio_units=units))

    def save(self, path: str | Path) -> None:
        """Write `path` (tokenizer.json) and, first, the configuration beside it that names its fingerprint."""
        configuration = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": PADDING,
            "eos_token": END_OF_TURN,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
            "nymph": {**asdict(self.extras), "id_ranges": self.id_ranges, "fingerprint": self.fingerprint},
        }
        write_json(Path(path).with_name(CONFIGURATION), configuration)
        with atomic_file(path, "w") as file:
            file.write(self.backend.to_str(pretty=True))

    def to_transformers(self) -> "PreTrainedTokenizerFast":
        """This tokenizer as `transformers` knows it, with the chat template; there control tokens in text do parse."""
        from transformers import PreTrainedTokenizerFast

        fresh = FastTokenizer.from_str(self.backend.to_str())
        return PreTrainedTokenizerFast(
            tokenizer_object=fresh,
            pad_token=PADDING,
            eos_token=END_OF_TURN,
            chat_template=CHAT_TEMPLATE,
            clean_up_tokenization_spaces=False,
        )

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """The tokenizer that `save` wrote; NymphError where it is missing, damaged or of another configuration."""
        file = Path(path)
        try:
            backend = FastTokenizer.from_str(file.read_text("utf-8"))
            stored = read_json(file.with_name(CONFIGURATION))["nymph"]
            expected = stored.pop("fingerprint")
            tokenizer = cls(backend, _extras(stored))
        except NymphError:
            raise
        except Exception as error:  # the Rust side raises bare Exception
            raise NymphError(f"{file}: not a tokenizer of Nymph ({error}); run the tokenizer pipeline again") from error
        if tokenizer.fingerprint != expected:
            raise NymphError(
                f"{file} does not belong to the {CONFIGURATION} beside it; run the tokenizer pipeline again"
            )
        return tokenizer

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process as JSON; there it is built once, however often it arrives."""
        return _revive, (self.backend.to_str(), json.dumps(asdict(self.extras)))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return self.backend.get_vocab()

    @cached_property
    def _bytes(self) -> list[bytes]:
        return list(self._token_bytes())

    @cached_property
    def _encoder(self) -> Encoder:
        return fastest_encoder(self.backend, self.extras.special_tokens, self._text_ranks())

    def _token_bytes(self) -> Iterator[bytes]:
        table, plain = byte_of(), self._controls | set(self.extras.special_tokens.punctuation)
        for token in sorted(self._ids, key=self._ids.__getitem__):
            spelt = token in plain or not all(c in table for c in token)
            yield token.encode() if spelt else bytes(table[c] for c in token)

    def _text_ranks(self) -> dict[bytes, int]:
        """Bytes to id of the text tokens alone: neither control tokens, nor marks, nor units."""
        others = self._controls | {m for m in self.extras.special_tokens.punctuation if len(m.encode()) > 1}
        units = {unit_token(unit) for unit in range(self.extras.audio_units)}
        return {self._bytes[i]: i for token, i in self._ids.items() if token not in others and token not in units}


def train_tokenizer(texts: Iterable[str], options: TokenizerOptions | None = None) -> Tokenizer:
    """Train byte-level BPE on a stream of texts. A tiny corpus gives a small vocabulary, an empty one NymphError."""
    chosen = options or TokenizerOptions()
    return Tokenizer(train_backend(texts, chosen), Extras(chosen.special_tokens))


@lru_cache(maxsize=2)
def _revive(backend: str, extras: str) -> Tokenizer:
    return Tokenizer(FastTokenizer.from_str(backend), _extras(json.loads(extras)))


def _extras(stored: dict[str, Any]) -> Extras:
    special: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored["special_tokens"].items()}
    edges = {name: tuple(values) for name, values in stored["prosody_edges"].items()}
    return Extras(SpecialTokens(**special), edges, stored["audio_units"])


def _list_array(offsets: NDArray, values: NDArray, valid: NDArray) -> pa.Array:
    wide = offsets[-1] > np.iinfo(np.int32).max
    kind, offset_type = (pa.LargeListArray, np.int64) if wide else (pa.ListArray, np.int32)
    mask = None if valid.all() else pa.array(~valid)
    return kind.from_arrays(pa.array(offsets.astype(offset_type)), pa.array(values), mask=mask)
