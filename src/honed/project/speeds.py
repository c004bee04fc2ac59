"""What this machine does in a second, measured once by a probe of seconds and kept for the user.

Later runs correct it: for each stage the file remembers what stages really took beside what was estimated.
"""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from honed.config.config import Config
from honed.core.artifacts import write_json
from honed.core.effort import Effort, Texts
from honed.core.fingerprint import fingerprint
from honed.core.optional import is_installed
from honed.core.protocols import Encoder
from honed.encode import hardware
from honed.encode.models import BaseModel, encoder_source
from honed.index.exact import ExactIndex
from honed.index.lexical import Bm25Index

if TYPE_CHECKING:
    from honed.encode.torch_encoder import TorchEncoder

_SHORT, _LONG = (6, 192), (90, 24)  # words of a text, and texts
_PAIRS = {_SHORT: 48, _LONG: 6}
_DOCUMENTS, _QUERIES = 4000, 200
_PARTS = 4.0  # kinds of words that a hybrid asks
_KEPT = 9  # corrections of a stage that are remembered


class Rate(msgspec.Struct, frozen=True):
    """Seconds for each token of texts of a length, in tokens."""

    length: float
    seconds: float


class Speeds(msgspec.Struct, kw_only=True):
    """Seconds of a machine for the units of `honed.core.effort.Effort`, with one base model.

    ``encode`` and ``train`` are rates at a short and a long length; ``compare`` is for one number of a pair of vectors.
    ``ratios`` holds, by stage, what it really took over what was estimated, the last ones last.
    """

    encode: list[Rate]
    train: list[Rate]
    compare: float
    match: float
    ratios: dict[str, list[float]] = {}

    def seconds(self, effort: Effort, dim: int, stage: str = "") -> float:
        """Return what an effort takes, corrected by what the stage has really taken before."""
        worked = sum(_at(self.encode, texts) for texts in effort.encoded)
        worked += sum(_at(self.train, texts) for texts in effort.trained)
        worked += effort.compared * dim * self.compare + effort.matched * self.match
        worked += effort.fused * self.match * _PARTS
        return worked * self.correction(stage)

    def correction(self, stage: str) -> float:
        """Return the median of the ratios of a stage; 1 before it has run."""
        ratios = self.ratios.get(stage)
        return float(np.median(ratios)) if ratios else 1.0

    def learn(self, stage: str, estimated: float, took: float) -> None:
        """Remember what a stage really took; ``estimated`` is with the correction that held before."""
        plain = estimated / self.correction(stage)
        if plain > 0 and took > 0:
            self.ratios[stage] = [*self.ratios.get(stage, ()), took / plain][-_KEPT:]


def _at(rates: Sequence[Rate], texts: Texts) -> float:
    """Return the seconds of texts, between the rates of two lengths and at those beyond."""
    seconds = np.interp(texts.tokens, [rate.length for rate in rates], [rate.seconds for rate in rates])
    return float(texts.count * texts.tokens * seconds)


def speeds_file(config: Config) -> Path:
    """Return where the speeds of this machine with the base model of a configuration are kept."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "honed"
    cache = Path(os.environ.get("HONED_CACHE") or usual)
    key = {
        "cpu": hardware.cpu_name(),
        "cores": hardware.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "model": encoder_source(config.model).identity(),
    }
    return cache / "speeds" / f"{fingerprint(key)}.json"


def machine_speeds(config: Config) -> Speeds:
    """Return the speeds of this machine, as they are kept; measured, and then kept, where they are not."""
    file = speeds_file(config)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Speeds)
    except (OSError, msgspec.MsgspecError):
        speeds = measure_speeds(config)
        save_speeds(config, speeds)
        return speeds


def save_speeds(config: Config, speeds: Speeds) -> None:
    """Keep the speeds of this machine, where the user's folder can be written to."""
    file = speeds_file(config)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, speeds)


def measure_speeds(config: Config) -> Speeds:
    """Return the speeds of this machine, from a few seconds of each kind of work."""
    source = encoder_source(config.model)
    encode = encode_rates(source.load())
    train = [Rate(rate.length, 3 * rate.seconds) for rate in encode]
    if config.train and isinstance(source, BaseModel) and is_installed("fine-tuning"):
        train = train_rates(BaseModel(config.model, "fp32").load())
    vectors = np.random.default_rng(0).normal(size=(_DOCUMENTS, 384)).astype(np.float32)
    index = ExactIndex(vectors)
    compared = _timed(lambda: index.search(vectors[:_QUERIES], 10)) / (_QUERIES * _DOCUMENTS * vectors.shape[1])
    texts = probe_texts(_DOCUMENTS, 12)
    words = Bm25Index(texts, config.analyzer(texts))
    matched = _timed(lambda: words.search(texts[:_QUERIES], 10)) / (_QUERIES * _DOCUMENTS)
    return Speeds(encode=encode, train=train, compare=compared, match=matched)


def probe_texts(count: int, words: int) -> list[str]:
    """Return texts of so many drawn words."""
    drawn = np.random.default_rng(words).zipf(1.3, size=(count, words)) % 5000
    syllables = ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu")
    return [" ".join("".join(syllables[int(digit)] for digit in str(word)) for word in row) for row in drawn.tolist()]


def encode_rates(encoder: Encoder) -> list[Rate]:
    """Return the rates of an encoder at a short and a long length."""
    count = getattr(encoder, "tokens", None)
    rates = []
    for words, number in (_SHORT, _LONG):
        texts = probe_texts(number, words)
        length = float(np.mean([len(ids) for ids in count(texts)])) if count else words * 2.0
        seconds = _timed(lambda texts=texts: encoder.encode(texts, "document"))  # type: ignore[misc]
        rates.append(Rate(length, seconds / (length * number)))
    return rates


def train_rates(encoder: "TorchEncoder") -> list[Rate]:
    """Return the rates of training at two lengths: batches forward and backward, in the precision of this machine."""
    import torch

    from honed.encode.torch_encoder import choose_precision

    device = encoder.model.device.type
    fast = choose_precision("auto", device) == "bf16"
    rates = []
    for shape, number in _PAIRS.items():
        ids = encoder.tokens(probe_texts(2 * number, shape[0]))

        def step(ids: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = ids, number: int = number) -> None:
            with torch.autocast(device, dtype=torch.bfloat16, enabled=fast):
                pooled = encoder.model(encoder.features(ids))["sentence_embedding"]
            unit = torch.nn.functional.normalize(pooled.float(), dim=1)
            scores = 20 * unit[:number] @ unit[number:].T
            loss = torch.nn.functional.cross_entropy(scores, torch.arange(number, device=scores.device))
            loss.backward()  # type: ignore[no-untyped-call]
            encoder.model.zero_grad()

        encoder.model.train()
        length = float(np.mean([len(tokens) for tokens in ids]))
        rates.append(Rate(length, _timed(step) / (length * len(ids))))
    encoder.model.eval()
    return rates


def _timed(work: Callable[[], object]) -> float:
    """Return the seconds of the quicker of two times, after one that warms up."""
    work()
    took = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return min(took)
