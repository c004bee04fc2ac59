"""Contributions of words: they sum to the cosine, two ways of computing them agree, and the check tells lies apart."""

from pathlib import Path

import numpy as np
import pytest

from honed.core.errors import ConfigError, DataError
from honed.core.protocols import Vectors
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder
from honed.explain.attribution import Explainer
from honed.explain.explanation import between, compare_all, explain
from honed.explain.faithful import area, curves, orders, received


@pytest.fixture(scope="module")
def explainer(tiny_model: Path) -> Explainer:
    return Explainer(TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32")), steps=24)


def test_parts_sum_to_the_change_and_both_ways_agree(explainer: Explainer) -> None:
    a, b = explainer.parts("a boat at sea", "query"), explainer.parts("ships sail", "document")
    assert a.vector == pytest.approx(explainer.vector("a boat at sea", "query"), abs=1e-5)
    assert a.parts.sum(axis=0) == pytest.approx(a.vector - a.reference, abs=1e-3)
    read, values = explainer.toward("a boat at sea", "query", b.vector)
    assert [word.text for word in read.words] == ["a", "boat", "at", "sea"]
    assert values == pytest.approx(a.parts @ b.vector, abs=1e-5)
    pairs, rest = between(a, b)
    assert pairs.shape == (4, 2)
    assert pairs.sum() + rest == pytest.approx(float(a.vector @ b.vector), abs=1e-3)


def test_the_integral_is_that_of_small_steps(explainer: Explainer) -> None:
    """The same by the definition: gradients of the cosine at many points of the straight path, by autograd."""
    import torch

    other = explainer.vector("ships sail", "document")
    read, values = explainer.toward("a boat", "query", other)
    own, start = explainer._ends(read)
    total = torch.zeros_like(own)
    n = 400
    for step in range(n):
        point = (start + (step + 0.5) / n * (own - start))[None].requires_grad_(True)
        cosine = explainer._vectors(torch.from_numpy(read.ids), point) @ torch.from_numpy(other)
        total += torch.autograd.grad(cosine.sum(), point)[0][0] / n
    assert values == pytest.approx(read.by_word((total * (own - start)).sum(dim=1).numpy()), abs=1e-4)


def test_more_points_come_nearer_to_the_whole(tiny_model: Path) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    errors = []
    for steps in (2, 32):
        found = Explainer(encoder, steps=steps).parts("a boat at sea", "query")
        errors.append(float(np.abs(found.parts.sum(axis=0) - (found.vector - found.reference)).max()))
    assert errors[1] < errors[0]
    assert errors[1] < 1e-4


def test_words_are_whole_and_prompts_are_no_words(tiny_model: Path) -> None:
    config = EncoderConfig(base=str(tiny_model), precision="fp32", query_prompt="query: ")
    explainer = Explainer(TorchEncoder.load(config))
    read = explainer.read("Sea  boats, far", "query")
    assert [(word.text, word.start, word.end) for word in read.words] == [
        ("Sea", 0, 3), ("boats", 5, 10), (",", 10, 11), ("far", 12, 15),
    ]  # fmt: skip
    assert len(read.pieces) > len(read.words)  # the tiny model spells
    assert read.without([1, 2]) == "Sea far"
    assert read.without([]) == "Sea boats, far"
    assert read.without(range(4)) == ""
    a = explainer.parts("Sea boats", "query")
    assert a.vector == pytest.approx(TorchEncoder.load(config).encode(["Sea boats"], "query")[0], abs=1e-5)


def test_what_cannot_be_explained_says_so(explainer: Explainer, tiny_model: Path) -> None:
    with pytest.raises(DataError, match="reads no word"):
        explainer.parts("  ", "query")
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    with pytest.raises(ConfigError, match="reference"):
        Explainer(encoder, reference="nothing")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    static = SentenceTransformer(modules=[StaticEmbedding(encoder.tokens.tokenizer, embedding_dim=8)], device="cpu")
    with pytest.raises(ConfigError, match="one fixed vector for each token"):
        Explainer(TorchEncoder(static, encoder.spec))


def test_attention_rows_are_shares(explainer: Explainer) -> None:
    read = explainer.read("a boat at sea", "query")
    weights = explainer.attention(read)
    n = len(read.ids)
    assert weights.shape == (2, 2, n, n)
    assert weights.sum(axis=-1) == pytest.approx(np.ones((2, 2, n)), abs=1e-5)
    assert received(weights, read).sum() < 1  # special tokens receive some too


def test_deletion_and_insertion_by_hand(explainer: Explainer) -> None:
    """An encoder that counts one word: taking that word first loses all at once."""

    def encode(texts: list[str]) -> Vectors:
        has = np.array(["sea" in text.split() for text in texts], dtype=np.float32)
        return np.stack([has, 1 - has], axis=1)

    read = explainer.read("a boat at sea", "query")
    named = orders({"truth": [0, 0, 0, 1], "lie": [3, 2, 1, 0]}, 4, seed=0)
    found = curves(read, named, encode, np.array([1.0, 0.0]))
    assert found["truth"]["deletion"].tolist()[:3] == pytest.approx([1.0, 0.6, 0.2])
    assert found["lie"]["deletion"].tolist()[-3:] == pytest.approx([0.8, 0.4, 0.0])
    assert area(found["truth"]["deletion"]) < area(found["random"]["deletion"]) < area(found["lie"]["deletion"])
    assert area(found["truth"]["insertion"]) > area(found["random"]["insertion"]) > area(found["lie"]["insertion"])
    assert area(np.ones(11)) == 1.0
    assert area(np.linspace(0, 1, 11)) == pytest.approx(0.5)


def test_an_explanation_is_plain_data(explainer: Explainer, tiny_model: Path) -> None:
    import json

    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    found = explain(explainer, "a boat", "the ship <b>", name="base", encoder=encoder)
    (model,) = json.loads(json.dumps(compare_all([found])))["models"]
    first, second = model["texts"]
    assert first["words"] == ["a", "boat"]
    assert np.sum(first["contributions"]) + first["rest"] == pytest.approx(model["cosine"], abs=1e-3)
    assert np.sum(second["contributions"]) + second["rest"] == pytest.approx(model["cosine"], abs=1e-3)
    assert np.sum(model["pairs"]) + model["pairs_rest"] == pytest.approx(model["cosine"], abs=1e-3)
    assert set(first["curves"]) == {"attribution", "attention", "random"}
    assert first["curves"]["attribution"]["deletion"][0] == pytest.approx(model["cosine"], abs=1e-3)


def test_what_the_model_does_not_read_is_no_part_of_the_text(tiny_model: Path) -> None:
    config = EncoderConfig(base=str(tiny_model), precision="fp32", max_length=8)
    read = Explainer(TorchEncoder.load(config)).read("sea ship boats sail far away", "query")
    assert [word.text for word in read.words] == ["sea", "shi"]
    assert read.without(range(2)) == ""


def test_attention_of_long_texts_is_left_out(tiny_model: Path) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32", max_length=100))
    found = explain(Explainer(encoder, steps=2), "a " * 70, "b", name="base", encoder=encoder).as_dict()
    assert len(found["texts"][0]["pieces"]) > 64
    assert found["texts"][0]["attention"] is None
    assert found["texts"][1]["attention"] is not None


def test_the_check_reads_each_text_in_its_role(tiny_model: Path) -> None:
    config = EncoderConfig(base=str(tiny_model), precision="fp32", query_prompt="ask ", document_prompt="about ")
    explainer, encoder = Explainer(TorchEncoder.load(config)), TorchEncoder.load(config)
    found = explain(explainer, "a boat", "a ship", name="base", encoder=encoder).as_dict()
    for side in found["texts"]:
        assert side["curves"]["attribution"]["deletion"][0] == pytest.approx(found["cosine"], abs=1e-4)
