import math
from pathlib import Path

import numpy as np
import pytest
import torch

from honed.core.errors import ConfigError, MissingPartError, TrainingError
from honed.core.records import Example
from honed.core.sections import read_section
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder
from honed.train.batch import Batch
from honed.train.config import TrainConfig
from honed.train.fine_tune import fine_tune
from honed.train.history import TrainingRun
from honed.train.losses import OBJECTIVES, SYNONYMS, ObjectiveNames, find_objective, needs_teacher
from honed.train.objectives import choose_objective
from tests.train.test_fine_tune import EXAMPLES, dev_score

IN_BATCH, SCORED, FROM_TEACHER = (
    sorted(name for name in OBJECTIVES.built_in if OBJECTIVES[name].learns_from == what)
    for what in ("pairs", "scores", "teacher")
)
CONFIG = TrainConfig(scale=10.0, symmetric=False, margin=0.3)


def batch(anchors: list[list[float]], positives: list[list[float]], **changes: torch.Tensor) -> Batch:
    left, right = torch.tensor(anchors), torch.tensor(positives)
    n = len(left)
    pairs = Batch(
        anchors=torch.nn.functional.normalize(left, dim=1),
        documents=torch.nn.functional.normalize(right, dim=1),
        related=torch.eye(n, dtype=torch.bool),
        weights=torch.ones(n),
        targets=torch.ones(n),
    )
    return pairs._replace(**changes)


def loss_of(name: str, pairs: Batch, config: TrainConfig = CONFIG) -> torch.Tensor:
    return OBJECTIVES[name].batch_loss()(pairs, config)


def test_every_objective_has_a_name_in_the_configuration() -> None:
    names = [*ObjectiveNames()]
    assert names[0] == "auto" and {*names, "pairs"} == {"auto", "mse", *OBJECTIVES}  # "pairs" is the distillation's
    assert "pairs" not in ObjectiveNames() and all(name in ObjectiveNames() for name in names)
    assert [name for name in names if needs_teacher(name)] == ["margin-mse", "kl"]


def test_a_synonym_is_read_and_names_the_same_objective() -> None:
    assert SYNONYMS == {"mse": "cosine"}
    config = read_section(TrainConfig, {"objective": "mse"}, "train", "honed.toml")
    assert find_objective(config.objective) is OBJECTIVES["cosine"]
    scored = [Example(anchor="a", positive="b", score=score) for score in (0.1, 0.9)]
    assert choose_objective("mse", scored) == ("mse", "set in honed.toml")  # the history has the word of honed.toml


class TestByHand:
    def test_ranking(self) -> None:
        loss = loss_of("ranking", batch([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]))
        first = -10 + math.log(2 * math.exp(10))
        second = math.log(2)
        assert float(loss) == pytest.approx((first + second) / 2, abs=1e-5)

    def test_triplet_takes_the_hardest_of_those_beyond_the_positive(self) -> None:
        cosines = [(1.0, 0.0), (0.8, 0.6), (0.6, 0.8), (0.0, 1.0)]
        anchors = [[1.0, 0.0]] * 4
        pairs = batch(anchors, [[0.8, 0.6], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        only_first = torch.tensor([1.0, 0.0, 0.0, 0.0])
        loss = loss_of("triplet", pairs._replace(weights=only_first))
        assert float(loss) == pytest.approx(0.3 - 0.8 + 0.6, abs=1e-5)  # 1.0 is nearer than the positive
        hard = TrainConfig(symmetric=False, margin=0.3, negatives="hard")
        loss = loss_of("triplet", pairs._replace(weights=only_first), hard)
        assert float(loss) == pytest.approx(0.3 - 0.8 + 1.0, abs=1e-5)
        assert len(cosines) == 4

    def test_contrastive(self) -> None:
        loss = loss_of("contrastive", batch([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]))
        assert float(loss) == pytest.approx(-math.log(math.exp(10) / (math.exp(10) + 2)), abs=1e-5)

    def test_multi_similarity(self) -> None:
        # cosines 0.6 to the own positive, 0.8 to the other: both count for the first anchor
        pairs = batch([[1.0, 0.0], [1.0, 0.0]], [[0.6, 0.8], [0.8, 0.6]], weights=torch.tensor([1.0, 0.0]))
        wanted = math.log1p(math.exp(-2 * 0.1)) / 2 + math.log1p(math.exp(50 * 0.3)) / 50
        assert float(loss_of("multi-similarity", pairs)) == pytest.approx(wanted, abs=1e-5)

    def test_cosine(self) -> None:
        pairs = batch([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], targets=torch.tensor([0.5, 0.5]))
        assert float(loss_of("cosine", pairs)) == pytest.approx(0.25, abs=1e-6)

    def test_cosent(self) -> None:
        pairs = batch([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], targets=torch.tensor([1.0, 0.0]))
        assert float(loss_of("cosent", pairs)) == pytest.approx(math.log1p(math.exp(-10)), abs=1e-5)
        wrong = pairs._replace(targets=torch.tensor([0.0, 1.0]))
        assert float(loss_of("cosent", wrong)) == pytest.approx(math.log1p(math.exp(10)), abs=1e-5)


class _Cosines:
    """A batch whose cosines are given, so that their gradients can be seen."""

    def __init__(self, pairs: Batch, cosines: torch.Tensor) -> None:
        self.anchors, self.positives, self.related = pairs.anchors, pairs.positives, pairs.related
        self.weights, self.cosines, self.pairs = pairs.weights, cosines, pairs

    def swapped(self) -> "_Cosines":
        return _Cosines(self.pairs.swapped(), self.cosines.T)


@pytest.mark.parametrize("name", IN_BATCH)
class TestInBatch:
    def test_a_right_pair_is_never_pushed_apart(self, name: str) -> None:
        """Two aliases of one label: moving either towards the label's other mention can only lower the loss."""
        torch.manual_seed(0)
        related = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
        for symmetric in (False, True):
            left = torch.randn(3, 8)
            right = torch.randn(3, 8)
            pairs = batch(left.tolist(), right.tolist(), related=related)
            config = TrainConfig(scale=10.0, symmetric=symmetric)
            # the loss as a function of the cosines: more of a right pair's cosine never costs
            cosines = (pairs.anchors @ pairs.positives.T).requires_grad_()
            stand_in = _Cosines(pairs, cosines)
            if name != "contrastive":  # it sees the cosines within each side too; the next test covers it
                loss_of(name, stand_in, config).backward()  # type: ignore[arg-type]
                assert cosines.grad is not None
                assert (cosines.grad[related] <= 1e-7).all()

    def test_a_batch_of_right_pairs_alone_gives_no_push(self, name: str) -> None:
        together = batch([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]], related=torch.ones(2, 2, dtype=torch.bool))
        apart = batch([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], related=torch.ones(2, 2, dtype=torch.bool))
        assert float(loss_of(name, together)) <= float(loss_of(name, apart)) + 1e-6

    def test_weights_scale_their_rows(self, name: str) -> None:
        torch.manual_seed(1)
        left, right = torch.randn(4, 8).tolist(), torch.randn(4, 8).tolist()
        whole = loss_of(name, batch(left, right))
        same = loss_of(name, batch(left, right, weights=torch.full((4,), 0.25)))
        assert float(whole) == pytest.approx(float(same), abs=1e-5)
        one = loss_of(name, batch(left, right, weights=torch.tensor([1.0, 0.0, 0.0, 0.0])))
        assert float(one) != pytest.approx(float(whole), abs=1e-5)

    def test_no_batch_gives_a_loss_that_is_not_finite(self, name: str) -> None:
        for n in (1, 2, 5):
            vectors = torch.randn(n, 4).tolist()
            for related in (torch.eye(n, dtype=torch.bool), torch.ones(n, n, dtype=torch.bool)):
                left = torch.nn.functional.normalize(torch.tensor(vectors), dim=1).requires_grad_()
                value = loss_of(name, batch(vectors, vectors, related=related)._replace(anchors=left))
                value.backward()
                assert torch.isfinite(value)
                assert left.grad is not None
                assert torch.isfinite(left.grad).all()

    def test_a_tiny_model_learns_by_it(self, name: str, tiny_model: Path, tmp_path: Path) -> None:
        base = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
        before = dev_score(base)
        config = TrainConfig(objective=name, epochs=6, batch_size=16, learning_rate=1e-3, evaluations=3)
        history = fine_tune(base, EXAMPLES, dev_score, config, TrainingRun(folder=tmp_path)).history
        assert history.objective == name
        assert history.best_score > before + 0.1


class TestChoice:
    def test_pairs_without_scores_are_ranked(self) -> None:
        name, reason = choose_objective("auto", EXAMPLES)
        assert name == "ranking"
        assert "negatives" in reason

    def test_pairs_with_scores_are_ordered(self) -> None:
        scored = [Example(anchor="a", positive="b", score=score) for score in (0.1, 0.9)]
        assert choose_objective("auto", scored)[0] == "cosent"

    def test_what_is_asked_for_is_taken(self) -> None:
        assert choose_objective("triplet", EXAMPLES) == ("triplet", "set in honed.toml")

    @pytest.mark.parametrize("name", [*SCORED, *SYNONYMS])
    def test_positives_alone_would_collapse_and_are_refused_with_the_way_out(
        self, name: str, tiny_model: Path, tmp_path: Path
    ) -> None:
        base = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
        with pytest.raises(TrainingError, match=r"nothing pushes texts apart.*Take objective = .ranking."):
            fine_tune(base, EXAMPLES, dev_score, TrainConfig(objective=name), TrainingRun(folder=tmp_path))

    def test_the_constant_vector_is_the_best_for_positives_alone(self) -> None:
        """Why it is refused: one vector for every text has loss 0, which no other solution beats."""
        same = batch([[1.0, 0.0]] * 3, [[1.0, 0.0]] * 3)
        assert float(loss_of("cosine", same)) == 0.0
        assert float(loss_of("ranking", same)) == pytest.approx(math.log(3), abs=1e-5)


class TestTaught:
    def taught(self, teacher: list[list[float]]) -> Batch:
        """One anchor with a positive at cosine 0.6 and a negative at 0.8."""
        pairs = batch([[1.0, 0.0]], [[0.6, 0.8]])
        documents = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
        related = torch.tensor([[True, False]])
        return pairs._replace(documents=documents, related=related, teacher=torch.tensor(teacher))

    def test_margin_mse(self) -> None:
        loss = loss_of("margin-mse", self.taught([[3.0, 1.0]]))
        assert float(loss) == pytest.approx((10 * (0.6 - 0.8) - 2.0) ** 2, abs=1e-4)

    def test_kl(self) -> None:
        loss = loss_of("kl", self.taught([[3.0, 1.0]]))
        p, q = [1 / (1 + math.exp(x)) for x in (-2.0, 2.0)]
        left, right = [1 / (1 + math.exp(x)) for x in (2.0, -2.0)]
        assert float(loss) == pytest.approx(p * math.log(p / left) + q * math.log(q / right), abs=1e-4)

    def test_pairs(self) -> None:
        loss = loss_of("pairs", self.taught([[0.7, 0.3]]))
        assert float(loss) == pytest.approx((0.01 + 0.25) / 2, abs=1e-5)

    @pytest.mark.parametrize("name", FROM_TEACHER)
    def test_what_the_teacher_did_not_score_does_not_count(self, name: str) -> None:
        alone = loss_of(name, self.taught([[0.7, math.nan]]))
        assert torch.isfinite(alone)
        if name != "pairs":
            assert float(alone) == pytest.approx(0.0, abs=1e-5)

    @pytest.mark.parametrize("name", FROM_TEACHER)
    def test_without_a_teacher_the_way_out_is_named(self, name: str) -> None:
        with pytest.raises(TrainingError, match=r"add the sections \[mine\] and \[cross_encoder\]"):
            choose_objective(name, EXAMPLES)


class TestMinedNegatives:
    def test_they_are_pushed_away(self) -> None:
        pairs = batch([[1.0, 0.0]], [[0.6, 0.8]])
        documents = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
        related = torch.tensor([[True, False]])
        for name in IN_BATCH:
            alone = loss_of(name, pairs)
            with_mined = loss_of(name, pairs._replace(documents=documents, related=related))
            assert float(with_mined) > float(alone) + 0.01, name

    def test_one_that_is_known_to_be_right_is_not(self) -> None:
        pairs = batch([[1.0, 0.0]], [[0.6, 0.8]])
        documents = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
        for name in ("ranking", "triplet"):
            alone = loss_of(name, pairs)
            related = torch.tensor([[True, True]])
            masked = loss_of(name, pairs._replace(documents=documents, related=related))
            assert float(masked) == pytest.approx(float(alone), abs=1e-6)


def test_matryoshka_trains_the_shorter_vectors_too(tiny_model: Path, tmp_path: Path) -> None:
    def dev_of_the_first(encoder: TorchEncoder) -> float:
        left, right = (
            torch.nn.functional.normalize(torch.from_numpy(encoder.encode(texts, role)[:, :8]), dim=1)
            for texts, role in (
                ([example.anchor for example in EXAMPLES[::2]], "query"),
                ([example.positive for example in EXAMPLES[::2]], "document"),
            )
        )
        scores = left @ right.T
        return float((1 / (1 + (scores > scores.diagonal()[:, None]).sum(dim=1))).mean())

    scores = {}
    for widths in ((), (8,)):
        base = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
        config = TrainConfig(epochs=8, batch_size=16, learning_rate=3e-3, evaluations=2, matryoshka=widths)
        run = TrainingRun(folder=tmp_path / str(len(widths)))
        scores[widths] = fine_tune(base, EXAMPLES, dev_of_the_first, config, run).history.best_score
    assert scores[8,] > scores[()]


def test_lora_trains_and_leaves_an_ordinary_model(tiny_model: Path, tmp_path: Path) -> None:
    base = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    names = set(base.model.state_dict())
    table = base.model[0].model.embeddings.word_embeddings.weight.detach().clone()
    config = TrainConfig(epochs=10, batch_size=16, learning_rate=1e-2, evaluations=3, lora=4)
    history = fine_tune(base, EXAMPLES, dev_score, config, TrainingRun(folder=tmp_path)).history
    assert history.kept == "tuned"
    assert set(base.model.state_dict()) == names
    saved = TorchEncoder.load_folder(tmp_path / "model", precision="fp32")
    assert torch.equal(saved.model[0].model.embeddings.word_embeddings.weight, table)
    assert dev_score(saved) == pytest.approx(history.best_score, abs=0.02)


def test_tensorboard_gets_the_curves(tiny_model: Path, tmp_path: Path) -> None:
    base = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    config = TrainConfig(epochs=1, batch_size=16, evaluations=1)
    fine_tune(base, EXAMPLES, dev_score, config, TrainingRun(folder=tmp_path / "work", logs=tmp_path / "logs"))
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))
    assert not list((tmp_path / "work").rglob("events.out.tfevents.*"))


def test_a_tracker_that_is_not_installed_is_named(tiny_model: Path, tmp_path: Path) -> None:
    from importlib.util import find_spec

    if find_spec("wandb"):
        pytest.skip("wandb is installed")
    base = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    with pytest.raises(MissingPartError, match="wandb"):
        fine_tune(base, EXAMPLES, dev_score, TrainConfig(track="wandb"), TrainingRun(folder=tmp_path))


def test_vectors_can_be_cut_to_their_first_numbers(tiny_model: Path) -> None:
    whole = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32")).encode(["mit"], "query")
    cut = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32", dim=8))
    short = cut.encode(["mit"], "query")
    assert short.shape == (1, 8)
    assert short[0] == pytest.approx(whole[0, :8] / np.linalg.norm(whole[0, :8]), abs=1e-5)
    with pytest.raises(ConfigError, match=r"model\.dim: 99 is over the 32 numbers"):
        TorchEncoder.load(EncoderConfig(base=str(tiny_model), dim=99))
