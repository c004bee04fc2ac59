"""What this machine does in a second, measured once by a probe of seconds and kept for the user.

Later runs correct it: for each stage the file remembers what stages really took beside what was estimated.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from honed.config.config import Config
from honed.core.effort import Effort
from honed.core.optional import is_installed
from honed.encode.machine import keep, machine_file
from honed.encode.models import BaseModel, encoder_source
from honed.encode.probe import LONG, SHORT, Rate, encode_rates, probe_texts, seconds_of, timed
from honed.index.exact import ExactIndex
from honed.index.lexical import Bm25Index

if TYPE_CHECKING:
    from honed.encode.torch_encoder import TorchEncoder

_PAIRS = {SHORT: 48, LONG: 6}
_DOCUMENTS, _QUERIES = 4000, 200
_PARTS = 4.0  # kinds of words that a hybrid asks
_KEPT = 9  # corrections of a stage that are remembered


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
        worked = sum(seconds_of(self.encode, texts) for texts in effort.encoded)
        worked += sum(seconds_of(self.train, texts) for texts in effort.trained)
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


def speeds_file(config: Config) -> Path:
    """Return where the speeds of this machine with the base model of a configuration are kept."""
    return machine_file(encoder_source(config.model).identity(), "speeds")


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
    keep(speeds_file(config), speeds)


def measure_speeds(config: Config) -> Speeds:
    """Return the speeds of this machine, from a few seconds of each kind of work."""
    source = encoder_source(config.model)
    encode = encode_rates(source.load())
    train = [Rate(rate.length, 3 * rate.seconds) for rate in encode]
    if config.train and isinstance(source, BaseModel) and is_installed("fine-tuning"):
        train = train_rates(BaseModel(config.model, "fp32").load())
    vectors = np.random.default_rng(0).normal(size=(_DOCUMENTS, 384)).astype(np.float32)
    index = ExactIndex(vectors)
    compared = timed(lambda: index.search(vectors[:_QUERIES], 10)) / (_QUERIES * _DOCUMENTS * vectors.shape[1])
    texts = probe_texts(_DOCUMENTS, 12)
    words = Bm25Index(texts, config.analyzer(texts))
    matched = timed(lambda: words.search(texts[:_QUERIES], 10)) / (_QUERIES * _DOCUMENTS)
    return Speeds(encode=encode, train=train, compare=compared, match=matched)


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
        rates.append(Rate(length, timed(step) / (length * len(ids))))
    encoder.model.eval()
    return rates
