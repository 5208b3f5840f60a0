"""Text with every typographic character replaced by its plain twin, before words are compared.

A manifest from a word processor, a phone or a web page and the transcript of a model write one
sentence with different characters. The reference normaliser knows the plain ones alone: it takes
``don't`` apart and leaves ``don’t``, in which U+2019 is no apostrophe to it, as two other words.
"""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = (
    "\u2018\u2019\u201a\u201b"  # quotation marks
    "\u2032\u2035\u02b9\u0374"  # primes
    "\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\u02f4"  # modifier letters
    "`\u00b4\u0384\u1fbd\u1fbf\u1fef\u1ffd\u1ffe"  # accents that stand alone
    "\u055a\u05f3\u07f4\u07f5\ua78b\ua78c\u275b\u275c\u275f"  # of other scripts, ornaments
)
_QUOTES = (
    "\u00ab\u00bb\u201c\u201d\u201e\u201f\u2039\u203a"
    "\u2033\u2036\u02ba\u02ee\u02f5\u02f6\u05f4\u275d\u275e\u2760\u301d\u301e\u301f"
)
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2500\u2796\u2e3a\u2e3b\ufe58\ufe63"
_OTHERS = {
    "\u2026": "...",
    "\u22ef": "...",
    "\u2025": "..",
    "\u2044": "/",
    "\u2215": "/",
    "\u2217": "*",
    "\u2236": ":",
    "\u223c": "~",
    "\u00d7": "x",
    # Its own lower case is an i with a second dot over it.
    "\u0130": "i",
    "\u066a": "%",
    "\u066b": ".",
    "\u066c": ",",
    # A mark of trade is no part of the word; its letters would be.
    "\u2122": "",
    "\u2120": "",
}

PLAIN = {
    **dict.fromkeys(_APOSTROPHES, "'"),
    **dict.fromkeys(_QUOTES, '"'),
    **dict.fromkeys(_DASHES, "-"),
    **_OTHERS,
}
"""Plain twins of punctuation that Unicode's compatibility forms leave as it is."""

_TABLE = str.maketrans(PLAIN)

_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0\u0640"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""Joiners, fillers, variation selectors and the Arabic tatweel, beside Unicode's format
characters (Cf: soft hyphens, zero-width spaces, joiners, marks of direction and of byte order)."""

_INITIALS = re.compile(r"\b(?:[A-Za-z]\.){2,}(?:[A-Za-z]\b)?(?![A-Za-z0-9])")
_ELLIPSIS = re.compile(r"\.{2,}")
_LONG_NUMBER = re.compile(r"\d{1000}(?=\d)")


def plain(text: str, language: str = "en") -> str:
    """A text in plain characters, so that what looks alike is compared alike.

    In this order: punctuation by :data:`PLAIN`; characters that are not seen removed; Unicode's
    compatibility composition (NFKC: no-break and other spaces, full-width forms, ligatures,
    fractions, superscripts, combining accents), what it made replaced by :data:`PLAIN` once
    more; digits of any script as 0 to 9; an ellipsis as a space. In English ``U.S.A.`` is
    ``USA``, as in the Open ASR leaderboard's normaliser.

    Args:
        text: As written.
        language: ISO 639-1 code.
    """
    text = _visible(text.translate(_TABLE))
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_TABLE)
        text = "".join(str(unicodedata.decimal(c, c)) for c in text)
    text = _ELLIPSIS.sub(" ", text)
    # Python refuses to read whole numbers of more than 4300 digits; a decoder that runs away
    # writes them.
    text = _LONG_NUMBER.sub(r"\g<0> ", text)
    if language == "en":
        text = _INITIALS.sub(lambda found: found.group().replace(".", ""), text)
    return text


def _visible(text: str) -> str:
    """The text without what is not seen, and with spaces where NFKC would add to a number.

    2½ is no 21/2, 10² no 102.
    """
    kept: list[str] = []
    for c in text:
        kind = unicodedata.category(c)
        if c.isspace():
            kept.append(" ")
        elif kind in ("Cf", "Cc", "Cs") or c in _INVISIBLE:
            continue
        elif kind in ("Co", "Cn"):
            kept.append(" ")
        elif kind == "No" and kept and kept[-1].isdecimal():
            kept += [" ", c]
        else:
            kept.append(c)
    return "".join(kept)
