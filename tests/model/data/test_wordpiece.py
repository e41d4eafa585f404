import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers.processors import TemplateProcessing

from model.data.errors import DataError
from model.data.vocabulary import SPECIAL
from model.data.wordpiece import Tokenizer, adapted_tokenizer, load_tokenizer, shortened, train_tokenizer

ROOT = Path(__file__).parents[3]
TEXTS = [
    "The film is warm, and the acting is fine.",
    "A warm film about a cold man; it's the finest of the year!",
    "Naïve? The café scenes are unaffected, unhurried and unforgettable.",
    "She was acting, he was acting, they were all acting: 1990, 2001 and 2012.",
    "Unforgettable scenes of a man who walks and walks and talks.",
    "Über-cool (and über-dull), but quickly done; just vexing jokes by a lazy pack.",
] * 3
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
WORDS = ["film", "films", "fine", "the", "##ing", "##est", "warm", "un", "##warm", ",", "?", "[", "]"]
PIECES = (*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS)
CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from model.data.wordpiece import train_tokenizer
print(train_tokenizer(eval(sys.stdin.read()), 200).digest)
"""


@pytest.fixture(scope="module")
def trained():
    return train_tokenizer(TEXTS, 200)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(PIECES)


def pieces(tokenizer, *arguments, **options):
    return [[tokenizer.vocabulary[number] for number in row] for row in tokenizer.encode(*arguments, **options).ids]


def library(tokenizer):
    """Return the library's own whole BERT with the same pieces."""
    other = Library.from_str(tokenizer._library.to_str())
    other.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", tokenizer.cls), ("[SEP]", tokenizer.sep)],
    )
    return other


def test_special_pieces_have_numbers(tokenizer, trained):
    assert (tokenizer.pad, tokenizer.unknown, tokenizer.cls, tokenizer.sep, tokenizer.mask) == (0, 1, 2, 3, 4)
    turned = Tokenizer(PIECES[::-1])
    assert (turned.pad, turned.mask) == (len(PIECES) - 1, len(PIECES) - 5)
    assert trained.vocabulary[:5] == SPECIAL
    assert tokenizer.size == len(tokenizer.vocabulary) == len(PIECES)


def test_encode(tokenizer):
    assert pieces(tokenizer, ["The films, FINEST?", "unwarm ünwarm é"]) == [
        ["[CLS]", "the", "films", ",", "fine", "##s", "##t", "?", "[SEP]"],
        ["[CLS]", "un", "##warm", "un", "##warm", "e", "[SEP]"],
    ]
    encoded = tokenizer.encode(["fine"], ["film , film"])
    assert [PIECES[number] for number in encoded.ids[0]] == ["[CLS]", "fine", "[SEP]", "film", ",", "film", "[SEP]"]
    assert encoded.types[0].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert encoded.ids[0].dtype == encoded.types[0].dtype == np.int32
    assert encoded.lengths.tolist() == [7] and len(encoded) == 1
    assert tokenizer.encode(["fine"]).types[0].tolist() == [0, 0, 0]


def test_empty_texts_are_legal(tokenizer):
    assert pieces(tokenizer, ["", " \n"]) == [["[CLS]", "[SEP]"]] * 2
    assert pieces(tokenizer, [""], [""]) == [["[CLS]", "[SEP]", "[SEP]"]]
    assert len(tokenizer.encode([])) == 0


def test_special_pieces_are_never_found_in_a_text(tokenizer):
    assert pieces(tokenizer, ["[SEP] [mask]"]) == [
        ["[CLS]", "[", "s", "##e", "##p", "]", "[", "m", "##a", "##s", "##k", "]", "[SEP]"]
    ]


def test_unknown_letters_and_endless_words(tokenizer):
    assert pieces(tokenizer, ["film 7 \u4e2d", "a" * 100, "a" * 101], limit=200)[::2] == [
        ["[CLS]", "film", "[UNK]", "[UNK]", "[SEP]"],
        ["[CLS]", "[UNK]", "[SEP]"],
    ]
    assert tokenizer.encode(["a" * 100], limit=200).lengths.tolist() == [102]


def test_case_is_kept_where_it_counts():
    cased = Tokenizer((*PIECES, "F", "É"), lowercase=False)
    assert pieces(cased, ["Film film É"]) == [["[CLS]", "F", "##i", "##l", "##m", "film", "É", "[SEP]"]]
    assert cased.digest != Tokenizer((*PIECES, "F", "É")).digest


def test_what_is_too_long_loses_its_end(tokenizer):
    assert pieces(tokenizer, ["film fine the warm"], limit=4) == [["[CLS]", "film", "fine", "[SEP]"]]
    assert pieces(tokenizer, ["film fine the warm"], limit=3) == [["[CLS]", "film", "[SEP]"]]
    both = pieces(tokenizer, ["film fine the warm"], ["the fine film"], limit=8)
    assert both == [["[CLS]", "film", "fine", "the", "[SEP]", "the", "fine", "[SEP]"]]


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 20))
def test_pairs_are_shortened_piece_by_piece(first, second, room):
    own, other = list(range(first)), list(range(second))
    while len(own) + len(other) > room:
        (own if len(own) > len(other) else other).pop()
    assert shortened(range(first), range(second), room) == (range(len(own)), range(len(other)))


def test_ids_are_those_of_the_whole_library(trained):
    encoded = trained.encode(TEXTS)
    assert [row.tolist() for row in encoded.ids] == [found.ids for found in library(trained).encode_batch(TEXTS)]
    both = trained.encode(TEXTS, TEXTS[::-1], limit=500)
    found = library(trained).encode_batch(list(zip(TEXTS, TEXTS[::-1], strict=True)))
    assert [row.tolist() for row in both.ids] == [it.ids for it in found]
    assert [row.tolist() for row in both.types] == [it.type_ids for it in found]


def test_training_learns_the_words(trained):
    assert 100 < trained.size <= 200
    assert {"acting", "walks", "unforgettable", "film"} <= set(trained.vocabulary)
    assert pieces(trained, ["the acting film"])[0] == ["[CLS]", "the", "acting", "film", "[SEP]"]
    assert all(trained.unknown not in row for row in trained.encode(TEXTS, limit=200).ids)


def test_training_does_not_depend_on_the_order_or_on_how_often_it_is_done(trained):
    for texts in (TEXTS, TEXTS[::-1], sorted(TEXTS)):
        assert train_tokenizer(iter(texts), 200).to_bytes() == trained.to_bytes()
    assert trained.digest == "dcbf85421123da6aadbd4ed02402a02cd983eca320f395bc82f77c95dec3afff"


@pytest.mark.parametrize("seed", ["0", "1"])
def test_training_is_the_same_in_another_process(trained, seed):
    command = [sys.executable, "-c", CODE, str(ROOT)]
    done = subprocess.run(
        command, input=repr(TEXTS), capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
    )
    assert done.stdout.strip() == trained.digest


def test_letters_as_common_as_others_are_chosen_by_their_code():
    signs = [chr(code) for code in range(0x4E00, 0x4E50)]
    made = train_tokenizer(signs, 64)
    assert made.vocabulary[5:] == tuple(signs[:59])
    assert train_tokenizer(signs[::-1], 64).to_bytes() == made.to_bytes()
    assert train_tokenizer([*signs, *signs[-9:]], 64).vocabulary[5:] == tuple(signs[:50] + signs[-9:])


@pytest.mark.parametrize("size", [64, 65, 100, 150])
def test_small_sizes_keep_the_commonest_letters(size):
    made = train_tokenizer(TEXTS, size)
    assert made.size == size
    assert {"e", "##e", "a", "##a", "n", "##n"} <= set(made.vocabulary)
    assert ("acting" in made.vocabulary) == (size > 64 + 20)


def test_bytes_are_of_one_form(trained):
    content = {"format": "wordpiece/1", "lowercase": True, "vocabulary": list(trained.vocabulary)}
    assert trained.to_bytes() == json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert trained.digest == hashlib.sha256(trained.to_bytes()).hexdigest()
    again = Tokenizer.from_bytes(trained.to_bytes())
    assert (again.vocabulary, again.lowercase, again.digest) == (trained.vocabulary, True, trained.digest)
    cased = Tokenizer(PIECES, lowercase=False)
    assert not Tokenizer.from_bytes(cased.to_bytes()).lowercase


@pytest.fixture
def write(tmp_path):
    def file(name, data):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return file


def hub(**changes):
    """Return the text of a `tokenizer.json` as BERT has it, with other values at some of its places."""
    content = {
        "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 128}, "pad_id": 0},
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {piece: number for number, piece in enumerate(PIECES)},
        },
    }
    for place, value in changes.items():
        *path, last = place.split("__")
        target = content
        for key in path:
            target = target[key]
        target[last] = value
    return json.dumps(content)


def test_files_of_all_kinds_hold_the_same(write, tokenizer):
    lines = "\n".join(PIECES)
    for name, data in (
        ("tokenizer.json", hub()),
        ("tokenizer.json", hub(normalizer__strip_accents=True)),
        ("vocab.txt", lines + "\n"),
        ("vocab.txt", lines.replace("\n", "\r\n")),
        ("ours.json", tokenizer.to_bytes()),
    ):
        assert load_tokenizer(write(name, data)).digest == tokenizer.digest
    assert not load_tokenizer(write("vocab.txt", lines), lowercase=False).lowercase
    assert not load_tokenizer(write("tokenizer.json", hub(normalizer__lowercase=False))).lowercase
    assert load_tokenizer(write("tokenizer.json", hub())).encode(["film " * 9]).lengths.tolist() == [11]


KEYS = "format, lowercase, vocabulary"
BERT = "; is this the tokenizer.json of a BERT?"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "must be a file with examples, not empty"),
        (
            '{"a" 1',
            "file: must be JSON, not text with: Expecting ':' delimiter: line 1 column 6 (char 5)",
        ),
        ("{}", f"model: must be an object, not None{BERT}"),
        (hub(model__type="BPE"), "model.type: must be 'WordPiece', not 'BPE'"),
        (hub(model__unk_token="<unk>"), "model.unk_token: must be '[UNK]', not '<unk>'"),
        (hub(model__continuing_subword_prefix="@@"), "model.continuing_subword_prefix: must be '##', not '@@'"),
        (hub(model__max_input_chars_per_word=50), "model.max_input_chars_per_word: must be 100, not 50"),
        (hub(model__vocab=["a"]), f"model.vocab: must be an object, not ['a']{BERT}"),
        (hub(model__vocab={"a": 1}), "model.vocab: must be numbered from 0 on, without gaps, not otherwise"),
        (hub(model__vocab={"a": "0"}), "model.vocab: must be numbered from 0 on, without gaps, not otherwise"),
        (hub(model__vocab={"a": 0, "b": "1"}), "model.vocab: must be numbered from 0 on, without gaps, not otherwise"),
        (hub(normalizer=None), f"normalizer: must be an object, not None{BERT}"),
        (hub(normalizer__type="NFC"), "normalizer.type: must be 'BertNormalizer', not 'NFC'"),
        (hub(normalizer__lowercase=1), "normalizer.lowercase: must be true or false, not 1"),
        (hub(normalizer__clean_text=False), "normalizer.clean_text: must be True, not False"),
        (hub(normalizer__handle_chinese_chars=0), "normalizer.handle_chinese_chars: must be True, not 0"),
        (hub(normalizer__strip_accents=False), "normalizer.strip_accents: must be null, or as lowercase, not False"),
        (hub(pre_tokenizer__type="Whitespace"), "pre_tokenizer.type: must be 'BertPreTokenizer', not 'Whitespace'"),
        ("\n".join(PIECES[1:]), "vocabulary: must be one with [PAD], not 69 pieces without it"),
        ("\n".join(PIECES[:63]), "vocabulary: must be from 64 to 65536 pieces, not 63"),
        ("\n".join([*PIECES, "a"]), "vocabulary[70]: must be another piece than those before, not 'a'"),
        ("\n".join([*PIECES, "", "b"]), "vocabulary[70]: must be a piece of a word, not ''"),
        ("\n".join([*PIECES, "b c"]), "vocabulary[70]: must be a piece of a word, not 'b c'"),
        (b"[PAD]\n\xff\n", "line 2: must be UTF-8, not byte 0xff; save the file as UTF-8"),
    ],
)
def test_wrong_files_are_refused(write, refused, data, message):
    path = write("file", data)
    assert refused(DataError, load_tokenizer, path) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "tokenizer: must be strict JSON, not text in which Expecting value at 0"),
        (b"\xff", "tokenizer: must be ASCII, not byte 0xff at 0"),
        (b"[]", "tokenizer: must be a JSON object, not []"),
        (
            b"{}",
            f"tokenizer: must be an object with the keys {KEYS}, not without {KEYS}",
        ),
        (
            b'{"format":"wordpiece/2","lowercase":true,"vocabulary":[]}',
            "tokenizer.format: must be wordpiece/1, not 'wordpiece/2'",
        ),
        (b'{"format":"wordpiece/1","lowercase":true,"vocabulary":{}}', "tokenizer.vocabulary: must be a list, not {}"),
        (b'{"format":"wordpiece/1","lowercase":1,"vocabulary":[]}', "lowercase: must be true or false, not 1"),
        (
            b'{"format":"wordpiece/1","lowercase":true,"vocabulary":[]}',
            "vocabulary: must be from 64 to 65536 pieces, not 0",
        ),
        (
            b'{"format":"wordpiece/1","lowercase":true,"vocabulary":[' + b"1," * 63 + b"1]}",
            "vocabulary[0]: must be a piece of a word, not 1",
        ),
    ],
)
def test_wrong_bytes_are_refused(refused, data, message):
    assert refused(DataError, Tokenizer.from_bytes, data) == message


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: train_tokenizer(TEXTS, 63), "size: must be an integer from 64 to 65536, not 63"),
        (lambda: train_tokenizer(TEXTS, 65_537), "size: must be an integer from 64 to 65536, not 65537"),
        (lambda: train_tokenizer(TEXTS, 100.0), "size: must be an integer from 64 to 65536, not 100.0"),
        (lambda: train_tokenizer([], 64), "texts: must be texts with at least 64 pieces, not 5; give more text"),
        (lambda: Tokenizer(PIECES).encode(["a"], limit=2), "limit: must be an integer from 3 to 65536, not 2"),
        (lambda: Tokenizer(PIECES).encode(["a"], ["b"], limit=3), "limit: must be an integer from 4 to 65536, not 3"),
        (lambda: Tokenizer(PIECES).encode(["a"], []), "pairs: must be 1 texts, as many as the first ones, not 0"),
        (lambda: Tokenizer(PIECES).encode(["a", None]), "texts[1]: must be a text, not None"),
        (lambda: Tokenizer(PIECES).encode(["", "\ud800"]), "texts[1]: must be a text, not '\\ud800'"),
        (lambda: train_tokenizer(["a", "\udfff"], 64), "texts[1]: must be a text, not '\\udfff'"),
    ],
)
def test_wrong_arguments_are_refused(refused, function, message):
    assert refused(DataError, function) == message


class TestAdapted:
    OWN = ("cold", "man", "story", "[unused1]", "seldom", "\u03b1", "##\u03b2")
    WHOLE = Tokenizer((*PIECES, *OWN))
    KEPT = len(SPECIAL) + 2 * len(LETTERS) + 4  # with four signs

    def adapted(self, texts, more):
        """Return the pieces beyond those that always stay, for as many as there is room for."""
        made = adapted_tokenizer(self.WHOLE, texts, self.KEPT + more)
        assert made.size == self.KEPT + more
        assert made.lowercase == self.WHOLE.lowercase
        return [piece for piece in made.vocabulary if piece not in SPECIAL and len(piece.removeprefix("##")) > 1]

    def test_what_the_texts_use_most_stays(self):
        texts = ["the cold man", "the cold story, the cold"]
        assert self.adapted(texts, 3) == ["the", "cold", "man"]  # man and story once each: the first of them
        assert self.adapted(texts, 4) == ["the", "cold", "man", "story"]

    def test_words_that_stand_twice_are_pieces(self):
        texts = ["Unfunny, unfunny!", "warming", "quirky quirky quirky"]
        assert self.adapted(texts, 4) == ["##ing", "warm", "quirky", "unfunny"]

    def test_every_word_can_be_spelt(self):
        made = adapted_tokenizer(self.WHOLE, ["\u03b1 \u03b3 \u03b3"], self.KEPT + 3)
        assert {*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), ",", "?"} <= set(made.vocabulary)
        assert {"\u03b1", "\u03b3"} <= set(made.vocabulary)
        assert "##\u03b2" not in made.vocabulary
        (ids,) = made.encode(["zyx"]).ids
        assert [made.vocabulary[number] for number in ids[1:-1]] == ["z", "##y", "##x"]

    def test_first_ones_fill_it_up(self):
        assert self.adapted(["seldom"], 3) == ["film", "films", "seldom"]
        every = adapted_tokenizer(self.WHOLE, ["seldom"], 1000).vocabulary
        assert every == tuple(piece for piece in self.WHOLE.vocabulary if piece != "[unused1]")

    def test_the_order_of_the_texts_does_not_matter(self):
        texts = [*TEXTS, "a quirky film", "so quirky and so droll and droll"]
        made = [adapted_tokenizer(self.WHOLE, some, 90).digest for some in (texts, texts[::-1])]
        assert made[0] == made[1]

    def test_special_pieces_stay_when_there_is_room_for_little_else(self):
        texts = [f"{first}{second} {first} {second}" for first in LETTERS for second in LETTERS]
        made = adapted_tokenizer(self.WHOLE, texts, 64)
        assert made.vocabulary[: len(SPECIAL)] == SPECIAL
        assert made.size == 64

    @pytest.mark.parametrize("sign", ["\u0378", "\U000e0100"])
    def test_words_that_cannot_be_printed_are_no_pieces(self, sign):
        texts = [*TEXTS, f"odd{sign} odd{sign} {sign} {sign}"]
        for made in (adapted_tokenizer(self.WHOLE, texts, 90), train_tokenizer(texts, 90)):
            assert all(piece.isprintable() for piece in made.vocabulary)
            assert len(made.encode([f"a film {sign}"]).ids[0]) > 3

    @pytest.mark.parametrize("size", [63, 0, 70_000])
    def test_wrong_sizes(self, refused, size):
        assert refused(DataError, lambda: adapted_tokenizer(self.WHOLE, ["a"], size)).startswith("size: must be ")
