"""Options of the tokenizer stage."""

from pydantic import RootModel

from nymph.text.training import TokenizerOptions


class TokenizerParameters(RootModel[TokenizerOptions]):
    """`params:tokenizer`; see `nymph.text.training.TokenizerOptions` for the fields."""
