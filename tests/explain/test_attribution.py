"""Contributions of words: they sum to the cosine, two ways of computing them agree, and the check tells lies apart."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from honed.core.errors import ConfigError, DataError
from honed.core.protocols import Vectors
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder
from honed.explain.attribution import Explainer
from honed.explain.explanation import ExplanationSet
from honed.explain.faithful import area_under_curve, received_attention, removal_curves, removal_orders
from honed.explain.pairs import explain, pair_contributions


@pytest.fixture(scope="module")
def explainer(tiny_model: Path) -> Explainer:
    return Explainer(TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32")), steps=24)


def test_parts_sum_to_the_change_and_both_ways_agree(explainer: Explainer) -> None:
    a, b = explainer.attribute("a boat at sea", "query"), explainer.attribute("ships sail", "document")
    assert a.vector == pytest.approx(explainer.vector("a boat at sea", "query"), abs=1e-5)
    assert a.parts.sum(axis=0) == pytest.approx(a.vector - a.reference, abs=1e-3)
    read, values = explainer.contributions("a boat at sea", "query", b.vector)
    assert [word.text for word in read.words] == ["a", "boat", "at", "sea"]
    assert values == pytest.approx(a.parts @ b.vector, abs=1e-5)
    pairs, rest = pair_contributions(a, b)
    assert pairs.shape == (4, 2)
    assert pairs.sum() + rest == pytest.approx(float(a.vector @ b.vector), abs=1e-3)


def test_the_integral_is_that_of_small_steps(explainer: Explainer) -> None:
    """The same by the definition: gradients of the cosine at many points of the straight path, by autograd."""
    import torch

    other = explainer.vector("ships sail", "document")
    read, values = explainer.contributions("a boat", "query", other)
    own, start = explainer._endpoints(read)
    total = torch.zeros_like(own)
    n = 400
    for step in range(n):
        point = (start + (step + 0.5) / n * (own - start))[None].requires_grad_(True)
        cosine = explainer._vectors(torch.from_numpy(read.ids), point) @ torch.from_numpy(other)
        total += torch.autograd.grad(cosine.sum(), point)[0][0] / n
    assert values == pytest.approx(read.sum_by_word((total * (own - start)).sum(dim=1).numpy()), abs=1e-4)


def test_more_points_come_nearer_to_the_whole(tiny_model: Path) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    errors = []
    for steps in (2, 32):
        text = Explainer(encoder, steps=steps).attribute("a boat at sea", "query")
        errors.append(float(np.abs(text.parts.sum(axis=0) - (text.vector - text.reference)).max()))
    assert errors[1] < errors[0]
    assert errors[1] < 1e-4


def test_words_are_whole_and_prompts_are_no_words(tiny_model: Path) -> None:
    config = EncoderConfig(base=str(tiny_model), precision="fp32", query_prompt="query: ")
    explainer = Explainer(TorchEncoder.load(config))
    read = explainer.tokenize("Sea  boats, far", "query")
    assert [(word.text, word.start, word.end) for word in read.words] == [
        ("Sea", 0, 3), ("boats", 5, 10), (",", 10, 11), ("far", 12, 15),
    ]  # fmt: skip
    assert len(read.pieces) > len(read.words)  # the tiny model spells
    assert read.without_words([1, 2]) == "Sea far"
    assert read.without_words([]) == "Sea boats, far"
    assert read.without_words(range(4)) == ""
    a = explainer.attribute("Sea boats", "query")
    assert a.vector == pytest.approx(TorchEncoder.load(config).encode(["Sea boats"], "query")[0], abs=1e-5)


def test_what_cannot_be_explained_says_so(explainer: Explainer, tiny_model: Path) -> None:
    with pytest.raises(DataError, match="reads no word"):
        explainer.attribute("  ", "query")
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    with pytest.raises(ConfigError, match="reference"):
        Explainer(encoder, reference="nothing")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    static = SentenceTransformer(modules=[StaticEmbedding(encoder.tokens.tokenizer, embedding_dim=8)], device="cpu")
    with pytest.raises(ConfigError, match="one fixed vector for each token"):
        Explainer(TorchEncoder(static, encoder.spec))


def test_attention_rows_are_shares(explainer: Explainer) -> None:
    read = explainer.tokenize("a boat at sea", "query")
    weights = explainer.attention(read)
    n = len(read.ids)
    assert weights.shape == (2, 2, n, n)
    assert weights.sum(axis=-1) == pytest.approx(np.ones((2, 2, n)), abs=1e-5)
    assert received_attention(weights, read).sum() < 1  # special tokens receive some too


def test_deletion_and_insertion_by_hand(explainer: Explainer) -> None:
    """An encoder that counts one word: taking that word first loses all at once."""

    def encode(texts: list[str]) -> Vectors:
        has = np.array(["sea" in text.split() for text in texts], dtype=np.float32)
        return np.stack([has, 1 - has], axis=1)

    read = explainer.tokenize("a boat at sea", "query")
    named = removal_orders({"truth": [0, 0, 0, 1], "lie": [3, 2, 1, 0]}, 4, seed=0)
    by_order = removal_curves(read, named, encode, np.array([1.0, 0.0]))
    assert by_order["truth"]["deletion"].tolist()[:3] == pytest.approx([1.0, 0.6, 0.2])
    assert by_order["lie"]["deletion"].tolist()[-3:] == pytest.approx([0.8, 0.4, 0.0])
    deletion, insertion = (
        [area_under_curve(by_order[name][way]) for name in ("truth", "random", "lie")]
        for way in ("deletion", "insertion")
    )
    assert deletion[0] < deletion[1] < deletion[2]
    assert insertion[0] > insertion[1] > insertion[2]
    assert area_under_curve(np.ones(11)) == 1.0
    assert area_under_curve(np.linspace(0, 1, 11)) == pytest.approx(0.5)


def test_an_explanation_is_plain_data(explainer: Explainer) -> None:
    explanations = ExplanationSet(models=[explain(explainer, "a boat", "the ship <b>", name="base")])
    plain = msgspec.json.decode(msgspec.json.encode(explanations))
    assert msgspec.convert(plain, ExplanationSet) == explanations
    (model,) = plain["models"]
    assert list(model) == ["name", "cosine", "texts", "pairs", "pairs_rest", "points"]
    assert list(model["texts"][0]) == [
        "text", "words", "places", "contributions", "rest", "pieces", "attention", "received", "curves",
    ]  # fmt: skip
    first, second = model["texts"]
    assert first["words"] == ["a", "boat"]
    assert np.sum(first["contributions"]) + first["rest"] == pytest.approx(model["cosine"], abs=1e-3)
    assert np.sum(second["contributions"]) + second["rest"] == pytest.approx(model["cosine"], abs=1e-3)
    assert np.sum(model["pairs"]) + model["pairs_rest"] == pytest.approx(model["cosine"], abs=1e-3)
    assert set(first["curves"]) == {"attribution", "attention", "random"}
    assert first["curves"]["attribution"]["deletion"][0] == pytest.approx(model["cosine"], abs=1e-3)


def test_what_the_model_does_not_read_is_no_part_of_the_text(tiny_model: Path) -> None:
    config = EncoderConfig(base=str(tiny_model), precision="fp32", max_length=8)
    read = Explainer(TorchEncoder.load(config)).tokenize("sea ship boats sail far away", "query")
    assert [word.text for word in read.words] == ["sea", "shi"]
    assert read.without_words(range(2)) == ""


def test_attention_of_long_texts_is_left_out(tiny_model: Path) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32", max_length=100))
    long, short = explain(Explainer(encoder, steps=2), "a " * 70, "b", name="base").texts
    assert len(long.pieces) > 64
    assert long.attention is None
    assert short.attention is not None


def test_the_check_reads_each_text_in_its_role(tiny_model: Path) -> None:
    config = EncoderConfig(base=str(tiny_model), precision="fp32", query_prompt="ask ", document_prompt="about ")
    explanation = explain(Explainer(TorchEncoder.load(config)), "a boat", "a ship", name="base")
    for text in explanation.texts:
        assert text.curves["attribution"]["deletion"][0] == pytest.approx(explanation.cosine, abs=1e-4)


def test_the_encoder_gives_the_same_vectors_while_an_explainer_works_on_its_model(tiny_model: Path) -> None:
    """Of several lengths in one batch, so that texts which attended to each other would show; bit by bit."""
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    texts = ["a", "a boat at sea", "ships", "sail far away"]
    attention = encoder.model[0].model.config._attn_implementation
    before = encoder.encode(texts, "query")
    explainer = Explainer(encoder, steps=2)

    def same() -> bool:
        same_model = explainer.encoder.model is encoder.model
        unchanged = (encoder.packed, encoder.model[0].model.config._attn_implementation) == (True, attention)
        return same_model and unchanged and np.array_equal(encoder.encode(texts, "query"), before)

    assert same()
    a = explainer.attribute("a boat", "query")
    assert same()
    explainer.contributions("a boat", "query", a.vector)
    assert same()
    explainer.attention(a.tokenized)
    assert same()
    explainer.vector("a boat", "query")
    assert same()
    with pytest.raises(DataError, match="reads no word"):
        explain(explainer, "a boat", " ", name="base")
    assert same()


def test_an_explainer_that_fails_leaves_the_encoder_as_it_was(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    before = encoder.encode(["a boat", "ships"], "query")
    explainer = Explainer(encoder, steps=2)
    monkeypatch.setattr(explainer, "_vectors", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explainer.attribute("a boat", "query")
    assert np.array_equal(encoder.encode(["a boat", "ships"], "query"), before)


def test_explaining_with_the_encoders_own_model_is_as_with_one_of_its_own(tiny_model: Path) -> None:
    """What the check encodes, and the vectors that are attributed, come from one model; a second one agrees."""
    config = EncoderConfig(base=str(tiny_model), precision="fp32", query_prompt="ask ")
    shared, twin = TorchEncoder.load(config), TorchEncoder.load(config)
    text = explain(Explainer(shared, steps=2), "a boat", "ships sail", name="base").texts[0]
    first, second = twin.encode(["a boat"], "query")[0], twin.encode(["ships sail"], "document")[0]
    assert text.curves["attribution"]["deletion"][0] == pytest.approx(float(first @ second), abs=1e-5)
    assert sum(text.contributions) + text.rest == pytest.approx(float(first @ second), abs=2e-3)
