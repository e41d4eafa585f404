"""Texts as a network reads them: its tokenizer, and the ids and types that it makes of them. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from model.data.errors import refuse
from model.data.wordpiece import MAX_TOKENS, Encoded, Tokenizer
from model.network import Network
from model.operations import Embed


def tokenizer_of(network: Network) -> Tokenizer:
    """Return the tokenizer that a network carries."""
    if network.tokenizer is None or not network.members:
        refuse("network", "one with members and a tokenizer, to read text", "without")
    if network.input.kind != "tokens":
        refuse("network", "one that reads tokens, to read text", f"one that reads {network.input.kind}")
    tokenizer, words = Tokenizer.from_bytes(network.tokenizer), _embedded(network, "vocabulary")
    if tokenizer.size > words:
        expected = f"one of at most {words} pieces, as many as the network has words"
        refuse("tokenizer", expected, f"{tokenizer.size}", "; export the network again, with the tokenizer of its run")
    return tokenizer


def is_cut(network: Network, text: str, pair: str | None = None) -> bool:
    """Return whether a text, or a pair of texts, has more pieces than a network can read."""
    whole = tokenizer_of(network).encode([text], None if pair is None else [pair], limit=MAX_TOKENS)
    return bool(whole.lengths[0] > network.limit)


def encode_texts(network: Network, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
    """Return texts as a network reads them, cut to what it can read."""
    if pairs is not None and _embedded(network, "types") < 2:
        refuse("second text", "left out for a network of one token type", "given")
    return tokenizer_of(network).encode(texts, pairs, limit=network.limit)


def _embedded(network: Network, axis: str) -> int:
    """Return how many words, or types of tokens, every embedding of a network has."""
    return min(at.sizes[axis] for at in network.operations if isinstance(at, Embed))
