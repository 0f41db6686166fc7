"""Rough English pronunciations for words that no dictionary has, good enough to find where a word begins and ends.

Spelling to ARPAbet by the longest grapheme first. It would not do for synthesis: an aligner that knows the neighbours
only needs the right number of roughly right sounds.
"""

import re

_GRAPHEMES = {
    "tion": "SH AH N", "sch": "SH", "tch": "CH", "igh": "AY", "eigh": "EY", "ough": "AO", "dge": "JH",
    "th": "TH", "sh": "SH", "ch": "CH", "ph": "F", "gh": "G", "ck": "K", "ng": "NG", "wh": "W", "qu": "K W",
    "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "oa": "OW", "oi": "OY", "oy": "OY", "ai": "EY",
    "ay": "EY", "au": "AO", "aw": "AO", "ie": "IY", "ei": "EY", "er": "ER", "ir": "ER", "ur": "ER", "ar": "AA R",
    "or": "AO R", "bb": "B", "cc": "K", "dd": "D", "ff": "F", "gg": "G", "ll": "L", "mm": "M", "nn": "N", "pp": "P",
    "rr": "R", "ss": "S", "tt": "T", "zz": "Z",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V",
    "w": "W", "x": "K S", "y": "IY", "z": "Z",
    "0": "Z IH R OW", "1": "W AH N", "2": "T UW", "3": "TH R IY", "4": "F AO R", "5": "F AY V", "6": "S IH K S",
    "7": "S EH V AH N", "8": "EY T", "9": "N AY N", "%": "P ER S EH N T", "$": "D AA L ER Z", "&": "AE N D",
}  # fmt: skip
_PIECE = re.compile("|".join(sorted(map(re.escape, _GRAPHEMES), key=len, reverse=True)))


def plain(word: str) -> str:
    """A written word as a dictionary lists it: lower case, without outer punctuation."""
    return re.sub(r"[^\w'$%&]", "", word.lower().replace("’", "'")).strip("'_")


def guess_phones(word: str) -> str:
    """ARPAbet phones of a plain word, separated by spaces; empty where nothing in it can be pronounced."""
    silent_e = re.sub(r"(?<=[a-z]{2}[bcdfgklmnprstvz])e$", "", word)
    return " ".join(_GRAPHEMES[piece] for piece in _PIECE.findall(silent_e))
