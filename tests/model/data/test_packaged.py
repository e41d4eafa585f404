"""The packaged sets as they are: sizes, digests, what keeps their parts apart. A changed carrier or cut shows here."""

import numpy as np
import pytest

from model.data import DEFAULT, datasets
from model.data.films import VERDICTS
from model.data.text import check_text, normalise, normalise_tweet

SPLITS = {
    "rt": (
        (8738, "9a34e0ab864a346600519203808cba9517b7fc343aa6dd1b6093a514a54ebbbb"),
        (1272, "858ce07ad8a86b12d42b0908d1b144ceb894b2c94f54aac96ae3909ef7c022a6"),
        (2739, "742a7ee8e7ebb997f2ba4c8ee48235585953e574c9c138f39e8e7f391da393b8"),
    ),
    "subj": (
        (10605, "8c3387d22705f98f4a46654431b555eecdf95017c329dc9c8e96d8ea6e405966"),
        (1675, "67bfb01b6e69f7d3c8afc15a62c6c4769b57cb380fdd24108bd3ea59bd2e980a"),
        (3456, "644f520e22281df557391fc49c3855868381ef92cd7c4d4cbd76d22a36ed6e36"),
    ),
    "tweets": (
        (3873, "d339ba282ea1fcf28d9a3fbff330592f233136159edeb93726c4d5993eb58ac2"),
        (478, "f923a01666d5457e6414aac4be90c783920264dd3f4cafffc9be55d202903ad3"),
        (1125, "c2aa8797bae296dfbd0958da38abb65f4583ac0654285ccd5620f846dc8bd599"),
    ),
    "news20": (
        (10162, "183bf5aa69d68ea324f25e9d17f3c2d5b7be920fb447b67bae6a9c3f7b9937c3"),
        (1100, "51b6d156096e77e0268862b3fff95755e775f9107bbe7721486408914fb32de6"),
        (7521, "efbe78f57ef6cf5326802f34a5d4d655a5dd8b828bd031fe3789f526ad623cca"),
    ),
    "r8": (
        (4894, "acd9f2a37785cbfa3a0d7971aafc5f1d289836ffa3fa638bae70a4f2d71b1df8"),
        (521, "fbc2e88f47347af3e09a712fbc4c0253b87306db56e73d6acb3800a606235730"),
        (2176, "244e6b51af189e9292224636123c18aa2728f044c5e24551c002f177e7f74729"),
    ),
    "r52": (
        (5759, "22ffb52f781e5291a523bd57e94bbc3be9ae883dda23f1408d69ead19c5271d7"),
        (681, "f5139c9864631bd1fa661eec698b977fa71f576e7f9919b187b3eec3a1780ade"),
        (2553, "33e2e2ca4802137543a4e4f46d4af4ec50935f580768bb6425d868265e6e32db"),
    ),
    "friends": (
        (21087, "94d62a2fe7034e45ed855afb6eb21bf93164da91126143ccccaed9bcebce57b0"),
        (3707, "47caea9d57a0e6671666ab61d79d26214538c65f6da2e08da5e311f3c208f757"),
        (5536, "7289cfe71b3a9d9e9f8a8ce2cd92311b1eba16de4e9b1cf4769024a383ba1040"),
    ),
    "crowd3": (
        (24137, "fbcc43406e3cac7f37791012e9c28b9f4bd94c6359b9acacdfc335447b66f32e"),
        (3506, "b62f47c93f2b369d5ef3097e9c9765dd57ca8abcd858a15fbfa630d335e4a583"),
        (6936, "582e70019d470e0f4004f8bb3cd99edea9a8784d860e1465deaf1f616cf51398"),
    ),
    "crowd2": (
        (14822, "fa91633f484ce0528badebb327120efdc508c64f670edbba6424959fd7556890"),
        (2180, "255c551d2cc9160dc191ffd5b7750eaa51053e6cca02afe1d4655e6fe4615a74"),
        (4347, "ada6ab07e586c66d426268b01616cc64433d85aebba063b36aaf8555529156f0"),
    ),
    "bbc": (
        (1498, "5becc1a173993ced73f42c34ebba021586d25e4810eb3667d1c0f2e76d7283f8"),
        (203, "500abea82940510df425d3b6dcc6e27ab35dca97090e1f62acc269b380ff9def"),
        (421, "2a353486f6992e19bb40599e0d2095fdef592c8dfede7b174121c324d06c9596"),
    ),
}
TWEETS = ("tweets", "crowd3", "crowd2")
PUBLISHED_TEST = ("news20", "r8", "r52")


def test_every_packaged_set_is_here():
    names = [info.name for info in datasets()]
    assert [name for name in names if "/" not in name] == list(SPLITS)
    assert names[0] == DEFAULT == "rt"


@pytest.mark.parametrize("name", SPLITS)
def test_a_packaged_set(packaged, name):
    dataset = packaged(name)
    (info,) = (info for info in datasets() if info.name == name)
    found = tuple((len(split), split.digest) for split in dataset.splits.values())
    assert found == SPLITS[name]
    assert dataset.name == dataset.task.name == name
    assert dataset.task.classes == info.classes
    assert dataset.task.metrics == ("accuracy",) and not dataset.task.pairs
    assert info.carrier in dataset.source and info.terms in dataset.source and "\n" not in dataset.source
    for split in (dataset.train, dataset.test):
        assert np.unique(split.labels).tolist() == list(range(info.classes))
    assert all(check_text(text) and "\n" not in text for split in dataset.splits.values() for text in split.texts)


@pytest.mark.parametrize("name", SPLITS)
def test_no_text_stands_twice(packaged, name):
    key = normalise_tweet if name in TWEETS else normalise
    keys = [key(text) for split in packaged(name).splits.values() for text in split.texts]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", [name for name in SPLITS if name not in ("crowd3", "crowd2", "bbc")])
def test_no_group_is_in_two_parts(packaged, name):
    train, dev, test = (set(split.groups) for split in packaged(name).splits.values())
    assert train.isdisjoint(dev)
    if name not in PUBLISHED_TEST:
        assert test.isdisjoint(train | dev)


def test_rt_and_subj_share_the_parts_of_films(packaged):
    rt, subj = packaged("rt"), packaged("subj")
    films = {part: set(rt.splits[part].groups) | set(subj.splits[part].groups) for part in rt.splits}
    assert len(set.union(*films.values())) == sum(len(names) for names in films.values())
    assert {part: len(set(rt.splits[part].groups)) for part in films} == {"train": 350, "dev": 51, "test": 106}


def test_the_classes_of_rt_are_alike_in_all_parts(packaged):
    shares = [split.labels.mean() for split in packaged("rt").splits.values()]
    assert max(shares) - min(shares) < 0.02
    assert packaged("rt").task.labels == VERDICTS == ("rotten", "fresh")


def test_a_film_is_in_one_part_with_its_plot_and_its_other_name(packaged, film_passages):
    packaged("rt")
    parts = {}
    for passage in film_passages():
        parts.setdefault(passage.film, set()).add(passage.part)
    assert len(parts) == 1435 and all(len(part) == 1 for part in parts.values())
    assert parts["el_crimen_del_padre_amaro"] == parts["the_crime_of_padre_amaro"]


def test_crowd2_is_crowd3_without_neutral(packaged):
    three, two = packaged("crowd3"), packaged("crowd2")
    for part, split in two.splits.items():
        labels = dict(zip(three.splits[part].texts, three.splits[part].labels.tolist(), strict=True))
        expected = {text: label // 2 for text, label in labels.items() if label != 1}
        assert dict(zip(split.texts, split.labels.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [
        (
            "rt",
            "A fast-moving and remarkable film that appears destined to become a landmark in Japanese animation.",
            1,
        ),
        ("rt", "Impostor doesn't do much with its template, despite a remarkably strong cast.", 0),
        ("subj", "Vijay Singh Rajput (Amitabh Bachchan) is a quirky manager of Vilasrao Jefferson Bank.", 0),
        (
            "subj",
            "The movie, despite its rough edges and a tendency to sag in certain places, is wry and engrossing.",
            1,
        ),
        (
            "tweets",
            "The question in this election: Who can put the plans into action that will make your life better?",
            0,
        ),
        ("friends", "There's nothing to tell! He's just some guyI work with!", 2),
        ("crowd3", "self-driving cars just seem lazy and a waste of money", 0),
    ],
)
def test_known_examples(packaged, name, text, label):
    found = [split.labels[split.texts.index(text)] for split in packaged(name).splits.values() if text in split.texts]
    assert found == [label]
