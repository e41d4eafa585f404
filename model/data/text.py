"""Texts: which ones are legal, when two of them are the same, and where their sentences end."""

from __future__ import annotations

import re
import unicodedata

from model.checks import show
from model.data.errors import refuse, require

MAX_TEXT = 100_000

_WORD = re.compile(r"\w+")
_PLAIN_WORD = re.compile(r"[0-9a-z_]+")
SURROGATE = re.compile("[\ud800-\udfff]")
_ILLEGAL = re.compile("[\0\ud800-\udfff]")
_LINK = re.compile(r"https?://\S*")
_MENTION = re.compile(r"\brt\b|@\w+")
_WINDOWS = {code: bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}
_END = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]]*\s+(?=[\"'\u201c\u2018(\[]?[A-Z0-9])|\s*\n\s*")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'\u201c\u2018])(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Gen|Sen|Rep|Gov|Lt|Col|Sgt|Capt|vs|[A-Z])\.$"
)


def check_text(text: object, where: str = "text") -> str:
    """Return a text that a classifier can be asked about: not empty, not endless, encodable."""
    if not isinstance(text, str):
        refuse(where, "a text", show(text))
    require(bool(text.strip()), where, "a text with at least one letter or sign", text[:20])
    if len(text) > MAX_TEXT:
        refuse(where, f"at most {MAX_TEXT} characters", f"{len(text)}", "; cut it first")
    illegal = _ILLEGAL.search(text)
    if illegal:
        found = f"U+{ord(illegal[0]):04X} at character {illegal.start() + 1}"
        refuse(where, "text that UTF-8 can hold, without NUL", found)
    return text


def normalise(text: str) -> str:
    """Return the words of a text, by which two texts count as the same: no case, no punctuation, no width of space."""
    letters = text.replace(" ", "")
    if letters.isascii() and letters.isalnum() and letters.islower():
        return " ".join(text.split())  # as below, and ten times as fast: some collections are words alone
    if text.isascii():
        return " ".join(_PLAIN_WORD.findall(text.lower())) or text.strip()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_WORD.findall(folded)) or folded.strip()


def normalise_tweet(text: str) -> str:
    """Return the words of a tweet without links, names of users and the mark of a repeated tweet."""
    plain = without_links(text).lower()
    marked = "@" in plain or "rt" in plain
    return normalise(_MENTION.sub(" ", plain) if marked else plain) or normalise(text)


def without_links(text: str) -> str:
    """Return a text without its web addresses, white space made single."""
    return " ".join((_LINK.sub(" ", text) if "http" in text else text).split())


def readable(text: str) -> str:
    """Return a text with its Windows quotes and dashes as such, other control characters and white space single."""
    if not text.isprintable():
        text = text.translate(_WINDOWS)
        text = text.translate({ord(letter): " " for letter in set(text) if not letter.isprintable()})
    return " ".join(text.split())


def sentences(text: str) -> list[str]:
    """Return the sentences of a text: cut at line ends and where a sign that ends one is followed by a capital."""
    found, start = [], 0
    for match in _END.finditer(text):
        ends_line = "\n" in match[0]
        if ends_line or not _ABBREVIATION.search(text[start : match.start() + 1]):
            found.append(text[start : match.end()])
            start = match.end()
    found.append(text[start:])
    return [stripped for sentence in found if (stripped := " ".join(sentence.split()))]
