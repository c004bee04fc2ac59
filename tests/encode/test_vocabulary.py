"""A vocabulary cut to known texts: the same pieces for these, by every kind of tokenizer, and the same vectors."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from honed.core.errors import ConfigError
from honed.encode.config import EncoderConfig
from honed.encode.models import BaseModel, ExactModel
from honed.encode.pruned import prune_vocabulary
from honed.encode.torch_encoder import TorchEncoder, save_model
from honed.encode.vocabulary import share_changed, smaller_vocabulary
from honed.train.students import size_in_mb, static_student
from tests.encode.tiny_models import TINY, make_tiny

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.fixture(scope="module")
def names(institutions: list[dict[str, str]]) -> list[str]:
    return sorted({row[key] for row in institutions for key in ("label", "alias")})


def trained(kind: str, names: list[str]) -> Tokenizer:
    """A real tokenizer of a kind, trained on names."""
    if kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=3000, special_tokens=SPECIAL, unk_token="<unk>")
    elif kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=3000, special_tokens=SPECIAL)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(names, trainer)
    tokenizer.add_special_tokens(["<mask>"])
    ends = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B </s>", ends)
    return tokenizer


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "bpe"])
def test_known_texts_keep_their_pieces_and_most_pieces_go(kind: str, names: list[str]) -> None:
    whole = trained(kind, names)
    known = [*names[:120], "Ωμέγα 😀", "𝔘niv", "a" * 300, ""]
    used = {number for text in known for number in whole.encode(text).ids}
    other = next(number for piece, number in whole.get_vocab().items() if number not in used and len(piece) > 5)
    smaller = smaller_vocabulary(whole, known, keep=[other])
    assert other in smaller.old_ids
    assert smaller.tokenizer.get_vocab_size() < whole.get_vocab_size() / 2
    for text in known:
        before, after = whole.encode(text), smaller.tokenizer.encode(text)
        assert before.tokens == after.tokens
        assert smaller.old_ids[after.ids].tolist() == before.ids
    assert [smaller.tokenizer.token_to_id(token) for token in SPECIAL[:2]] == [0, 1]
    assert smaller.tokenizer.encode("<mask>").tokens[1] == "<mask>"
    assert smaller.tokenizer.encode("<mask>").ids[1] == len(smaller.old_ids) - 1


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "bpe"])
def test_other_texts_of_the_script_still_have_pieces(kind: str, names: list[str]) -> None:
    whole = trained(kind, names)
    smaller = smaller_vocabulary(whole, names[:20])
    read = [text for text in names[20:] if "<unk>" not in whole.encode(text).tokens and text.isascii()]
    assert len(read) > 1000
    for text in read:
        assert "<unk>" not in smaller.tokenizer.encode(text).tokens


def test_the_share_of_changed_texts_is_counted(names: list[str]) -> None:
    whole = trained("unigram", names)
    smaller = smaller_vocabulary(whole, names[:50])
    assert share_changed(whole, smaller, names[:50]) == 0
    others = names[50:250]
    changed = [text for text in others if whole.encode(text).tokens != smaller.tokenizer.encode(text).tokens]
    assert share_changed(whole, smaller, others) == len(changed) / 200 > 0


def test_a_word_that_was_unknown_stays_unknown() -> None:
    """Without "ab" the word could be read as a, ##bq: what the model tried and left stays with what it took."""
    pieces = ["<unk>", "a", "ab", "##bq", "##b", "x"]
    whole = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="<unk>"))
    whole.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    smaller = smaller_vocabulary(whole, ["abq", "xbq"])
    assert smaller.tokenizer.encode("abq").tokens == ["<unk>"] == whole.encode("abq").tokens


def test_what_no_piece_fits_is_rated_as_before() -> None:
    """The lowest score of a Unigram model is that of what it does not know, less ten."""
    scored = [("<unk>", 0.0), ("ab", -2.0), ("a", -1.0), ("abz", -9.0), ("qq", -40.0)]
    whole = Tokenizer(models.Unigram(scored, unk_id=0))
    smaller = smaller_vocabulary(whole, ["abz", "abw"])
    assert "qq" in smaller.tokenizer.get_vocab()
    data = json.loads(smaller.tokenizer.to_str())["model"]
    assert data["unk_id"] == 0
    assert [score for _, score in data["vocab"]] == sorted((s for _, s in scored), key=[s for _, s in scored].index)


@pytest.mark.parametrize("seed", range(20))
def test_any_model_over_any_texts_reads_known_ones_as_before(seed: int) -> None:
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcd", k=draw.randint(1, 4))) for _ in range(40)]
    pieces = list(dict.fromkeys([*words, *(f"##{word}" for word in words)]))
    wordpiece = Tokenizer(models.WordPiece({p: at for at, p in enumerate(["?", *pieces])}, unk_token="?"))
    unigram = Tokenizer(models.Unigram([("?", 0.0), *((p, -draw.random()) for p in dict.fromkeys(words))], unk_id=0))
    for tokenizer in (wordpiece, unigram):
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        texts = [" ".join("".join(draw.choices("abcde", k=draw.randint(1, 9))) for _ in range(3)) for _ in range(8)]
        smaller = smaller_vocabulary(tokenizer, texts)
        assert [smaller.tokenizer.encode(text).tokens for text in texts] == [
            tokenizer.encode(text).tokens for text in texts
        ]


def test_a_tokenizer_that_cannot_be_cut_is_refused() -> None:
    drawn = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=0.1))
    with pytest.raises(ConfigError, match="BPE with dropout cannot be cut"):
        smaller_vocabulary(drawn, ["ab"])


def loaded(folder: Path) -> TorchEncoder:
    return BaseModel(EncoderConfig(base=str(folder), precision="fp32")).load()


def test_a_pruned_model_gives_the_vectors_it_gave(worded_model: Path, names: list[str], tmp_path: Path) -> None:
    whole = loaded(worded_model)
    known, others = names[:60], names[60:160]
    wanted = whole.encode(known, "query")
    pruned, facts = prune_vocabulary(loaded(worded_model), [(text, "query") for text in known], others)
    assert facts.pieces < facts.of / 2
    assert facts.unseen == 100
    assert 0 < facts.changed < 1
    assert size_in_mb(pruned.model) < size_in_mb(whole.model)
    spec = save_model(pruned.model, pruned.spec, tmp_path / "model")
    again = ExactModel(tmp_path / "model", spec).load()
    assert again.model[0].model.config.vocab_size == facts.pieces
    for encoder in (pruned, again):
        assert np.allclose(encoder.encode(known, "query"), wanted, atol=1e-5)
    apart = np.linalg.norm(again.encode(others, "query") - whole.encode(others, "query"), axis=1) > 1e-5
    assert apart.mean() == pytest.approx(facts.changed)


@pytest.mark.parametrize("kind", sorted(TINY))
def test_every_architecture_can_be_pruned(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.encode.vocabulary._is_single", lambda piece: False)  # tiny models have little else
    monkeypatch.setattr("honed.encode.vocabulary._Model.in_scripts", lambda *_: False)
    encoder = loaded(make_tiny(kind, tmp_path / kind))
    known = ["abba cab", "u" * 40, "univ of b", "b"]
    wanted, before = encoder.encode(known, "query"), size_in_mb(encoder.model)
    pruned, facts = prune_vocabulary(encoder, [(text, "query") for text in known])
    assert facts.pieces < facts.of / 2
    assert size_in_mb(pruned.model) < before
    again = ExactModel(tmp_path / "saved", save_model(pruned.model, pruned.spec, tmp_path / "saved")).load()
    assert np.allclose(pruned.encode(known, "query"), wanted, atol=1e-5)
    assert np.allclose(again.encode(known, "query"), wanted, atol=1e-5)


def test_a_static_model_is_pruned_too(worded_model: Path, names: list[str]) -> None:
    student = static_student(loaded(worded_model), 16)
    wanted = student.encode(names[:9], "query")
    pruned, facts = prune_vocabulary(student, [(text, "query") for text in names[:9]])
    assert pruned.model[0].embedding.weight.shape == (facts.pieces, 16)
    assert facts.pieces < facts.of
    assert np.allclose(pruned.encode(names[:9], "query"), wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["multilingual-e5-small", "all-mpnet-base-v2"])
def test_a_real_model_is_pruned(name: str, real_model: Callable[[str], Path], names: list[str]) -> None:
    folder = real_model(name)
    known = [*names[:400], "北京大学", "Московский университет"]
    encoder = loaded(folder)
    before = size_in_mb(encoder.model)
    wanted = encoder.encode(known[::20], "query")
    pruned, facts = prune_vocabulary(encoder, [(text, "query") for text in known], names[400:])
    assert facts.pieces < facts.of / 3
    assert size_in_mb(pruned.model) < before
    assert np.allclose(pruned.encode(known[::20], "query"), wanted, atol=1e-5)
    assert pruned.tokens.tokenizer.encode("query: 清華大學").tokens.count("<unk>") == 0
