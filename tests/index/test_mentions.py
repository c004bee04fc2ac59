"""Names inside longer texts: which is found, where it stands, what the rest of the text says, files."""

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.index.field_values import FEATURES as FIELD_FEATURES
from honed.index.field_values import FieldValues, word_places
from honed.index.mentions import ALL, FEATURES, KNOWN, LABELS, Mentions, Names
from honed.index.name_evidence import NameEvidence

NAMES = Names(
    texts=[
        ["Tianjin University", "TJU"],
        ["Tianjin University of Science and Technology"],
        ["University of Guadalajara", "Universidad de Guadalajara", "UdeG"],
        ["Institute of Computing Technology", "中国科学院计算技术研究所"],
    ],
    levels=[[LABELS, KNOWN], [LABELS], [LABELS, KNOWN, ALL], [LABELS, KNOWN]],
)
CITIES = ["Tianjin", "Tianjin", "Guadalajara", "Beijing"]


@pytest.fixture(scope="module")
def mentions() -> Mentions:
    return Mentions.build(NAMES)


def features(mentions: Mentions, text: str, level: int = ALL) -> dict[str, list[float]]:
    query, rows = mentions.read(text), np.arange(len(NAMES.texts))
    windows = mentions.windows(query, rows, level=level)
    columns = mentions.features(query, windows, windows.best_of(len(rows)))
    assert len(columns) == len(FEATURES)
    return {name: column.tolist() for name, column in zip(FEATURES, columns, strict=True)}


def test_a_name_between_signs_is_whole_and_one_across_them_is_not(mentions: Mentions) -> None:
    seen = features(mentions, "School of Computer Science and Technology, Tianjin University, Tianjin, China")
    assert (seen["some name is whole"][0], seen["some name is whole"][1]) == (1.0, 0.0)
    assert seen["name is a part"][0] == 1.0
    assert seen["weight"][0] == max(seen["weight"]) or seen["whole, weight"][0] == max(seen["whole, weight"])


def test_abbreviations_hold_names_in_part(mentions: Mentions) -> None:
    seen = features(mentions, "Inst. of Comput. Technol., Beijing")
    assert seen["share of the name"][3] == max(seen["share of the name"]) > 0.6
    assert seen["some name is whole"][3] == 0.0


def test_only_names_that_may_be_used_count(mentions: Mentions) -> None:
    text = "Dept. of Letters, UdeG, Mexico"
    assert features(mentions, text)["some name is whole"][2] == 1.0
    assert features(mentions, text, KNOWN)["some name is whole"][2] == 0.0
    spanish = "Depto. de Letras, Universidad de Guadalajara"
    assert features(mentions, spanish, KNOWN)["some name is whole"][2] == 1.0
    assert features(mentions, spanish, LABELS)["some name is whole"][2] == 0.0
    query = mentions.read("UdeG")
    assert mentions.likely(query, 5).tolist() == [2]
    assert not len(mentions.likely(query, 5, level=KNOWN))
    assert not len(mentions.likely(query, 5, hidden=np.array([2])))


def test_scripts_without_blanks_and_queries_without_words(mentions: Mentions) -> None:
    assert mentions.likely(mentions.read("北京 中国科学院计算技术研究所"), 1).tolist() == [3]
    for text in ("", "?!", "xyzzy"):
        assert not len(mentions.likely(mentions.read(text), 3))
        assert not any(features(mentions, text)["share of the name"])


def test_what_many_queries_hold_counts_less() -> None:
    mentions = Mentions.build(NAMES)
    before = features(mentions, "Tianjin University")["unusual, whole"][0]
    mentions.learn_usual(["Dept. of Physics, Fudan University"] * 50)
    assert 0 < features(mentions, "Tianjin University")["unusual, whole"][0] < before


def test_the_rest_of_a_query_is_compared_with_fields(mentions: Mentions) -> None:
    cities, query = FieldValues.of(CITIES), mentions.read("Tianjin University, 22 Main Road, Beijing")
    rows = np.arange(4)
    windows = mentions.windows(query, rows)
    starts, sizes = windows.places_of(windows.best_of(4))
    inside, beside, another = cities.columns(word_places(query), rows, starts, sizes)
    assert len(FIELD_FEATURES) == 3
    assert inside.tolist() == [1, 1, 0, 1]  # the city in the name itself counts as in the query
    assert (beside[0], beside[3]) == (0.0, 1.0)
    assert another[2] == 1.0


def test_common_words_and_values_are_kinds() -> None:
    labels = [[f"University {number}"] for number in range(30)] + [[f"Hospital {number}"] for number in range(30)]
    names, types = Names(labels, [[0]] * 60), ["education|funder"] * 25 + ["health"] * 35
    evidence = NameEvidence.build(names, {}, {"type": types})
    assert set(evidence.kind_names) == {"word hospital", "word university"} | {
        f"type {name}" for name in ("education", "funder", "health")
    }
    rows = np.array([0, 59])
    columns = dict(
        zip(
            evidence.feature_names,
            evidence.columns(evidence.names.read("University 3"), rows, np.zeros(2, np.float32)),
            strict=True,
        )
    )
    assert columns["kind: word university"].tolist() == [1, 0]
    assert columns["kind: type funder"].tolist() == [1, 0]


def test_files_are_read_back_and_damaged_ones_refused() -> None:
    evidence = NameEvidence.build(NAMES, {"city": CITIES})
    arrays, data = evidence.tensors(), evidence.as_dict()
    back = NameEvidence.read(data, arrays, 4)
    rows, ranks = np.arange(4), np.zeros(4, np.float32)
    text = "Tianjin University, Beijing"
    ours, theirs = (kept.columns(kept.names.read(text), rows, ranks) for kept in (evidence, back))
    assert np.array_equal(np.stack(ours), np.stack(theirs))
    damaged = {
        "mentions.tokens": arrays["mentions.tokens"] + 99,
        "mentions.ends": arrays["mentions.ends"][:-1],
        "mentions.owners": arrays["mentions.owners"][::-1].copy(),
        "rest.0.values": arrays["rest.0.values"] + 7,
        "kinds": arrays["kinds"][:2],
    }
    for name, array in damaged.items():
        with pytest.raises(ArtifactError):
            NameEvidence.read(data, {**arrays, name: array}, 4)
