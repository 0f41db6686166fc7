"""Options of the tokenizer stage: the vocabulary, and the units that sound is written in."""

from dataclasses import dataclass, field, fields, replace

from pydantic import RootModel

from nymph.sequences.units import UnitOptions
from nymph.text.seed_config import read_seed_config
from nymph.text.training import TokenizerOptions


@dataclass(frozen=True)
class TokenizerStageOptions(TokenizerOptions):
    """The fields of `nymph.text.training.TokenizerOptions` and what the stage does beside."""

    audio_units: UnitOptions = field(default_factory=UnitOptions)
    """A codebook of sounds, whose units become tokens behind all others."""
    seed_config: str | None = None
    """A `tokenizer_config.json` of the first tokenizer trainer; what it says of the vocabulary goes before the rest."""


class TokenizerParameters(RootModel[TokenizerStageOptions]):
    """`params:tokenizer`; see `TokenizerStageOptions` for the fields."""

    def settled(self) -> TokenizerStageOptions:
        """The options with those of `seed_config` in their place."""
        options = self.root
        if options.seed_config is None:
            return options
        seed = read_seed_config(options.seed_config)
        given = {one.name: getattr(seed, one.name) for one in fields(TokenizerOptions)}
        return replace(options, **given, seed_config=None)
