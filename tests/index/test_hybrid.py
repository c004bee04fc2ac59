"""The hybrid: its candidates, what hides, what is known of names, ranks without weights, files."""

import json

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.core.ranking import top_rows
from honed.index.fusion import FusionLearner, JudgedCandidates, kind_of_query
from honed.index.hybrid import Candidates, HybridIndex
from honed.index.parts import HybridTexts

NAMES = [
    "University of Guadalajara",
    "Kuban State University",
    "Udayana University",
    "Ecole Polytechnique",
    "School of Arts",
    "Military Academy",
]
SITES = ["udg.mx", "kubsu.ru", "unud.ac.id", "polytechnique.edu", "", "amarb.bo"]


@pytest.fixture(scope="module")
def index() -> HybridIndex:
    found = HybridIndex.build(HybridTexts(texts=NAMES, fields={"website": SITES}))
    asked = [("KSU", 1), ("unud", 2), ("AMARB", 5), ("guadalajara", 0), ("polytechnique", 3), ("udg", 0)]
    queries = []
    for text, right in asked * 5:
        candidates = gathered(found, text)
        queries.append(
            JudgedCandidates(
                candidates.features, (candidates.rows == right).astype(np.float32), kind_of_query(text, names=True)
            )
        )
    found.fusion = FusionLearner(names=tuple(found.feature_names), penalty=0.1).fit(queries)
    return found


def gathered(index: HybridIndex, text: str, hidden: tuple[int, ...] = (), depth: int = 3) -> Candidates:
    cosines = np.linspace(0.1, 0.2, len(NAMES), dtype=np.float32)  # vectors that know nothing
    near = top_rows(cosines, depth + len(hidden))
    return index.gather(text, near, lambda rows: cosines[rows], depth=depth, hidden=hidden)


@pytest.mark.parametrize(("text", "right"), [("KubSU", 1), ("AMARB", 5), ("Universidad de Guadalajara", 0)])
def test_what_vectors_do_not_know_is_found(index: HybridIndex, text: str, right: int) -> None:
    ranked = index.rank(text, gathered(index, text))
    assert ranked.rows[0] == right
    assert list(ranked.scores) == sorted(ranked.scores, reverse=True)
    assert ranked.first.shape == (len(index.feature_names),)


def test_reasons_add_up_to_the_scores_and_tell_which_parts_know(index: HybridIndex) -> None:
    for text, row in (("AMARB", 5), ("KubSU", 1), ("unud", 2)):
        candidates = gathered(index, text)
        reasons = index.reasons(text, candidates)
        assert set(reasons) == {"dense", *index.parts, "shape", "names", "website, rest"}
        assert index.fusion is not None
        scores = index.fusion.scores(candidates.features, kind=kind_of_query(text, names=True))
        assert np.allclose(sum(reasons.values()), scores - scores.mean(), atol=1e-4)
        at = candidates.rows.tolist().index(row)
        most = max(reasons, key=lambda part: float(reasons[part][at]))
        assert most != "dense"  # vectors that know nothing
        assert reasons[most][at] > 0.2


def test_candidates_are_those_of_every_part(index: HybridIndex) -> None:
    candidates = gathered(index, "KubSU", depth=1)
    assert candidates.features.shape == (len(candidates.rows), len(index.feature_names))
    assert set(candidates.rows.tolist()) >= {1, 5}  # by its letters, and by its vector
    at = index.feature_names.index("website, words: share of the best")
    assert candidates.features[candidates.rows.tolist().index(1), at] == 1.0
    assert candidates.features[candidates.rows.tolist().index(5), at] == 0.0


def test_what_is_hidden_might_as_well_not_be_there(index: HybridIndex) -> None:
    hidden = gathered(index, "KubSU", hidden=(1,))
    assert 1 not in hidden.rows
    without = [row for row in range(len(NAMES)) if row != 1]
    smaller = HybridIndex.build(
        HybridTexts(texts=[NAMES[row] for row in without], fields={"website": [SITES[r] for r in without]})
    )
    cosines = np.linspace(0.1, 0.2, len(NAMES), dtype=np.float32)[without]
    wanted = smaller.gather("KubSU", top_rows(cosines, 3), lambda rows: cosines[rows], depth=3)
    assert [without[row] for row in wanted.rows] == hidden.rows.tolist()
    for at, name in enumerate(index.feature_names):  # only what the whole corpus weighs may differ
        if name.endswith((": rank", "below the best")) and not name.startswith(("TF-IDF", "letters", "website")):
            assert hidden.features[:, at] == pytest.approx(wanted.features[:, at], abs=1e-6), name


def test_ranks_alone_by_hand(index: HybridIndex) -> None:
    features = np.zeros((3, len(index.feature_names)), dtype=np.float32)
    ranks = [at for at, name in enumerate(index.feature_names) if name.endswith(": rank")]
    features[0, ranks[0]], features[1, ranks[:2]] = 1.0, [0.5, 1.0]
    ranked = index.by_ranks(Candidates(np.array([7, 8, 9]), features))
    assert ranked.rows.tolist() == [8, 7, 9]
    assert ranked.scores == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 0])


def test_it_is_the_same_after_a_round_trip(index: HybridIndex) -> None:
    data = json.loads(json.dumps(index.as_dict()))
    back = HybridIndex.from_files(data, index.tensors(), NAMES.__getitem__, len(NAMES))
    for text in ("KubSU", "polytechnique", "school of arts", "Ω"):
        one, other = (each.rank(text, gathered(each, text)) for each in (index, back))
        assert one.rows.tolist() == other.rows.tolist()
        assert one.scores == pytest.approx(other.scores)
    with pytest.raises(ArtifactError, match="other texts"):
        HybridIndex.from_files(data, index.tensors(), NAMES.__getitem__, 5)
    fewer = {**data, "parts": data["parts"][:-1]}
    with pytest.raises(ArtifactError, match="other parts"):
        HybridIndex.from_files(fewer, index.tensors(), NAMES.__getitem__, len(NAMES))


def test_a_query_that_meets_nothing_is_answered_by_the_vectors(index: HybridIndex) -> None:
    ranked = index.rank("∅", gathered(index, "∅"))
    assert sorted(ranked.rows.tolist()) == [3, 4, 5]


@pytest.mark.parametrize("texts", [["It"], ["The", "Who"], ["!!!", "???"], ["x"]])
def test_texts_without_terms_can_be_built(texts: list[str]) -> None:
    index = HybridIndex.build(HybridTexts(texts=texts, fields={"f": [""] * len(texts)}))
    found = index.gather("the", np.arange(len(texts)), lambda rows: np.ones(len(rows), np.float32))
    assert found.features.shape == (len(texts), len(index.feature_names))


def test_texts_that_are_no_names_have_no_initials() -> None:
    index = HybridIndex.build(HybridTexts(texts=NAMES, names=False))
    assert "initials" not in index.parts
    assert gathered(index, "KSU").features.shape[1] == len(index.feature_names)
