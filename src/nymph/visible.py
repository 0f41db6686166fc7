"""Other people's text where a person reads it: nothing in it may act on the terminal or turn the line around."""

import re

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` on one line with control, direction and zero-width characters written out as escapes."""
    return _HIDDEN.sub(lambda match: ascii(match[0])[1:-1], text)
