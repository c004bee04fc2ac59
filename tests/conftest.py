"""What many tests share: small data, a tiny real transformer, the place of the real data sets."""

import csv
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

pytest_plugins = ["tests.plugins", "tests.shipped"]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HONED_ALLOW_RULES", "1")  # those of the examples and of tests
os.environ.setdefault("HONED_CACHE", tempfile.mkdtemp(prefix="honed-cache-"))
os.environ.setdefault("HONED_ENGINE", "onnxruntime")  # nothing is measured, but where a test asks for it
if "PYTEST_XDIST_WORKER" in os.environ:  # workers that share cores wait for each other's threads most of the time
    os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("HONED_DATA", ROOT.parent / "shared" / "data"))
RECONCILIATION = Path(os.environ.get("HONED_RECONCILIATION", DATA.parent / "reconciliation-0.2"))


# files of few long tests: first, so that no worker is left with one of them at the end
LONG = (
    "stages/test_relations.py",
    "test_end_to_end.py",
    "stages/test_labeling.py",
    "train/test_fine_tune.py",
    "test_documents.py",
    "test_install.py",
    "stages/test_training.py",
    "stages/test_students.py",
    "pins/test_pins.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets; the test is skipped where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets in {DATA}: set HONED_DATA, or fetch them with  honed datasets fetch")
    return DATA


@pytest.fixture(scope="session")
def institutions() -> list[dict[str, str]]:
    """The rows of the demo table."""
    with (ROOT / "examples" / "institutions" / "institutions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def real_model() -> Callable[[str], Path]:
    """The folder of a real model by its name, in the folder HONED_TEST_MODELS; the test is skipped without it."""

    def folder_of(name: str) -> Path:
        place = os.environ.get("HONED_TEST_MODELS", "")
        if not place or not (Path(place) / name / "model.safetensors").is_file():
            pytest.skip(f"no model {name}: set HONED_TEST_MODELS to a folder that holds it")
        return Path(place) / name

    return folder_of


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real, randomly initialised two-layer BERT over single characters, as a sentence-transformers folder."""
    from tests.encode.tiny_models import wordpiece

    return save_tiny_bert(tmp_path_factory.mktemp("tiny"), wordpiece(), width=32)


def save_tiny_bert(folder: Path, tokenizer: "Tokenizer", *, width: int, seed: int = 0) -> Path:
    """Save a randomly initialised two-layer BERT over a tokenizer with BERT's special tokens; returns its folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(seed)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder / "bert")
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=128,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"), max_seq_length=64)
    model = SentenceTransformer(modules=[transformer, Pooling(width, "mean")], device="cpu")
    model.save(str(folder / "model"), create_model_card=False)
    return folder / "model"


@pytest.fixture(scope="session")
def worded_model(tmp_path_factory: pytest.TempPathFactory, institutions: list[dict[str, str]]) -> Path:
    """A random BERT such as `tiny_model`, 48 wide, over pieces of words that were learned from the institutions."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=2000, special_tokens=special, show_progress=False)
    names = sorted({row[key] for row in institutions for key in ("label", "alias")})
    tokenizer.train_from_iterator(names, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return save_tiny_bert(tmp_path_factory.mktemp("worded"), tokenizer, width=48, seed=1)


@pytest.fixture
def small_project(tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]) -> Path:
    """A project folder with 150 institutions, the tiny model and two quick epochs."""
    return write_project(tmp_path, institutions, tiny_model.as_posix(), n_entities=150)


def write_project(
    folder: Path, rows: list[dict[str, str]], base: str, *, n_entities: int, train: str = "epochs = 2\nbatch_size = 32"
) -> Path:
    """Write a table of the first entities and a honed.toml with all sections."""
    wanted = list(dict.fromkeys(row["id"] for row in rows))[:n_entities]
    with (folder / "names.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in rows if row["id"] in set(wanted))
    (folder / "honed.toml").write_text(
        f"""
[paths]
input = ["names.csv"]
[data]
shape = "aliases"
slice_by = ["kind"]
[data.columns]
id = "id"
label = "label"
alias = "alias"
[model]
base = "{base}"
[split]
[baselines]
[train]
{train}
evaluations = 2
[index]
[evaluate]
[gate]
gain_over_base = -1.0
""",
        encoding="utf-8",
    )
    return folder


def write_training_project(
    folder: Path, rows: list[dict[str, str]], base: Path, more: str, gates: str = "", train: str = ""
) -> Path:
    write_project(folder, rows, base.as_posix(), n_entities=150, train="epochs = 1\nbatch_size = 32\n" + train)
    text = (folder / "honed.toml").read_text(encoding="utf-8")
    (folder / "honed.toml").write_text(text.replace("[index]", more + "[index]") + gates, encoding="utf-8")
    return folder
