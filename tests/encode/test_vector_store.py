"""Vectors that are kept: the same as without the store, made once, whole after a kill, and cleared away."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from honed.core.progress import show_progress_with
from honed.core.protocols import Role, Vectors
from honed.encode import vector_store
from honed.encode.config import EncoderConfig
from honed.encode.hashing import HashEncoder
from honed.encode.models import BaseModel
from honed.encode.vector_shelf import text_keys
from honed.encode.vector_store import VectorStore, encoder_identity, shards_of

TEXTS = [f"text {number % 41} of some" for number in range(60)]  # 19 stand twice


class Counting(HashEncoder):
    """A hash encoder that counts how often it is asked for a text."""

    def __init__(self, dim: int = 16, **prompts: str) -> None:
        super().__init__(dim, **prompts)
        self.asked: Counter[tuple[str, str]] = Counter()

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        self.asked.update((text, role) for text in texts)
        return super().encode(texts, role)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_store, "SHARD_TEXTS", 8)


def stored(folder: Path, encoder: HashEncoder, texts: Sequence[str] = TEXTS, role: Role = "document") -> Vectors:
    return VectorStore(folder).encoder(encoder).encode(texts, role)


def test_the_vectors_are_the_encoders_own_in_the_order_of_the_texts(tmp_path: Path) -> None:
    encoder = Counting()
    for _ in range(2):
        assert np.array_equal(stored(tmp_path, encoder), HashEncoder(16).encode(TEXTS, "document"))
    assert set(encoder.asked.values()) == {1}
    assert len(encoder.asked) == 41
    assert len(list(tmp_path.rglob("*.safetensors"))) == 6


def test_no_texts_have_no_vectors(tmp_path: Path) -> None:
    assert stored(tmp_path, Counting(), []).shape == (0, 16)


def test_another_list_costs_its_new_texts_alone(tmp_path: Path) -> None:
    encoder = Counting()
    stored(tmp_path, encoder, TEXTS[:20])
    encoder.asked.clear()
    more = ["quite new", *reversed(TEXTS[:30]), "new too"]
    assert np.array_equal(stored(tmp_path, encoder, more), HashEncoder(16).encode(more, "document"))
    assert {text for text, _ in encoder.asked} == {"quite new", "new too", *TEXTS[20:30]}


def test_roles_share_their_vectors_unless_a_prompt_or_the_encoder_tells_them_apart(tmp_path: Path) -> None:
    for prompts, asked in (({}, 41), ({"query_prompt": "query: "}, 82)):
        encoder = Counting(**prompts)
        stored(tmp_path / str(asked), encoder, role="document")
        vectors = stored(tmp_path / str(asked), encoder, role="query")
        assert np.array_equal(vectors, HashEncoder(16, **prompts).encode(TEXTS, "query"))
        assert encoder.asked.total() == asked
    plain, prompted = HashEncoder(16), HashEncoder(16, query_prompt="query: ")
    assert encoder_identity(plain, "query") == encoder_identity(plain, "document")
    assert encoder_identity(prompted, "query") != encoder_identity(prompted, "document")

    class Sided(HashEncoder):
        role_is_prompt = False

    assert encoder_identity(Sided(16), "query") != encoder_identity(Sided(16), "document")


@pytest.mark.parametrize("change", ["weights", "pooling", "dim", "max_length", "similarity", "normalize"])
def test_what_changes_vectors_changes_the_shelf(change: str) -> None:
    encoder, other = HashEncoder(16), HashEncoder(16)
    value = getattr(other.spec, change)
    other._spec = replace(other.spec, **{change: f"{value}x" if isinstance(value, str) else value + 1})
    assert encoder_identity(other, "document") != encoder_identity(encoder, "document")


def test_a_precision_and_settings_of_a_plug_in_change_the_shelf(tiny_model: Path) -> None:
    exact, fast = (BaseModel(EncoderConfig(base=str(tiny_model)), precision).load() for precision in ("fp32", "bf16"))
    assert encoder_identity(exact, "query") != encoder_identity(fast, "query")
    assert encoder_identity(exact, "query") == encoder_identity(exact, "document")
    plug_in = HashEncoder(16)
    assert encoder_identity(plug_in, "query", {"base": "a:1"}) != encoder_identity(plug_in, "query", {"base": "a:2"})


def test_a_transformer_gives_the_vectors_that_it_gives_without_the_store(tiny_model: Path, tmp_path: Path) -> None:
    encoder = BaseModel(EncoderConfig(base=str(tiny_model), precision="fp32")).load()
    vectors = VectorStore(tmp_path).encoder(encoder).encode(TEXTS, "document")
    assert np.abs(vectors - encoder.encode(TEXTS, "document")).max() < 1e-6  # batches differ, so do the last bits


def test_shards_have_bounds_and_going_on_makes_those_that_were_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_store, "SHARD_CHARS", 100)
    texts = ["x" * (7 * number % 40) for number in range(50)] + ["x" * 500, "y"]
    rows = np.arange(len(texts))
    shards = [shard.tolist() for shard in shards_of(texts, rows)]
    assert [row for shard in shards for row in shard] == rows.tolist()
    assert all(len(shard) <= 8 for shard in shards)
    assert all(sum(len(texts[row]) for row in shard) <= 100 or len(shard) == 1 for shard in shards)
    assert max(map(len, shards)) > 3
    for done in range(len(shards)):
        rest = rows[sum(map(len, shards[:done])) :]
        assert [shard.tolist() for shard in shards_of(texts, rest)] == shards[done:]


def test_progress_counts_what_was_there(tmp_path: Path) -> None:
    said: list[object] = []

    class Bar:
        def __init__(self, label: str, total: int | None) -> None:
            said.append((label, total))

        def advance(self, count: int = 1) -> None:
            said.append(count)

        def note(self, text: str) -> None:
            said.append(text)

        def close(self) -> None: ...

    stored(tmp_path, Counting(), TEXTS[:20])
    show_progress_with(Bar)
    try:
        stored(tmp_path, Counting())
        stored(tmp_path, Counting())
    finally:
        show_progress_with(None)
    assert said == [("encode document texts", 41), 20, "20 there already", 8, 8, 5]


@pytest.mark.parametrize("damage", ["vector", "key", "header", "end", "empty"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, damage: str) -> None:
    stored(tmp_path, Counting())
    shard = sorted(tmp_path.rglob("*.safetensors"))[2]
    data = bytearray(shard.read_bytes())
    place = {"vector": -200, "key": 8 + int.from_bytes(data[:8], "little") + 40, "header": 12}.get(damage, 0)
    data[place] ^= 0x55
    shard.write_bytes({"end": bytes(data[:-300]), "empty": b""}.get(damage, bytes(data)))
    encoder = Counting()
    assert np.array_equal(stored(tmp_path, encoder), HashEncoder(16).encode(TEXTS, "document"))
    assert 1 <= len(encoder.asked) <= 8
    stored(tmp_path, again := Counting())
    assert not again.asked


WORK = """
import os, signal, sys
from pathlib import Path
from honed.encode import vector_store
from honed.encode.config import EncoderConfig
from honed.encode.models import BaseModel
vector_store.SHARD_TEXTS = 8
folder, base, most = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
encoder = BaseModel(EncoderConfig(base=base, precision="fp32")).load()
encode, calls = encoder.encode, []
def counted(texts, role):
    if len(calls) == most:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(len(texts))
    return encode(texts, role)
encoder.encode = counted
texts = [f"text {number % 41} of some" for number in range(60)]
vectors = vector_store.VectorStore(folder).encoder(encoder).encode(texts, "document")
print(sum(calls), vectors.tobytes().hex())
"""


def worker(folder: Path, base: Path, most: int = 99) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WORK, str(folder), str(base), str(most)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_a_killed_encoding_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, tiny_model: Path) -> None:
    straight = worker(tmp_path / "straight", tiny_model).communicate()[0].split()
    killed = worker(tmp_path / "killed", tiny_model, most=3)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    again = worker(tmp_path / "killed", tiny_model).communicate()[0].split()
    assert int(straight[0]) == 41
    assert int(again[0]) == 41 - 3 * 8
    assert again[1] == straight[1]


@pytest.mark.slow
def test_two_that_encode_at_once_do_not_disturb_each_other(tmp_path: Path, tiny_model: Path) -> None:
    said = [process.communicate()[0].split() for process in [worker(tmp_path, tiny_model) for _ in range(2)]]
    first, second = (np.frombuffer(bytes.fromhex(vectors), dtype=np.float32) for _, vectors in said)
    assert np.abs(first - second).max() < 1e-6
    assert int(worker(tmp_path, tiny_model).communicate()[0].split()[0]) == 0


def test_vectors_of_models_that_nothing_speaks_of_are_removed_and_then_the_longest_unused(tmp_path: Path) -> None:
    for dim, used in ((8, 300), (16, 100), (32, 200)):
        stored(tmp_path, HashEncoder(dim))
        newest = max(tmp_path.glob("*/used"), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (used, used))

    def weights() -> set[str]:
        return {vector_store._weights(folder) for folder in tmp_path.iterdir()}

    store, everything = VectorStore(tmp_path), {"hash-8", "hash-16", "hash-32"}
    half_written = next(tmp_path.glob("*/")) / "abc.safetensors.1.new"
    half_written.touch()
    store.prune(everything, 1 << 30)
    assert weights() == everything
    assert not half_written.exists()
    sizes = {
        vector_store._weights(folder): sum(file.stat().st_size for file in folder.iterdir())
        for folder in tmp_path.iterdir()
    }
    store.prune(everything, sizes["hash-8"] + sizes["hash-32"])
    assert weights() == {"hash-8", "hash-32"}
    store.prune({"hash-8"}, 1 << 30)
    assert weights() == {"hash-8"}
    store.prune({"hash-8"}, 0)
    assert weights() == set()


def test_keys_tell_texts_apart() -> None:
    keys = text_keys(["a", "b", "a ", "\ud800", "a"])
    assert keys[0] == keys[4]
    assert len(set(keys.tolist())) == 4
