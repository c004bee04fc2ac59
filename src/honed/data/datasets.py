"""Public data sets: where they come from, what they must hash to, and a fetch that never leaves half a file in use."""

import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from honed.core.errors import ConfigError, DataError, StorageError, did_you_mean
from honed.core.fingerprint import sha256_file
from honed.core.progress import progress
from honed.core.writing import new_file

_BLOCK = 1 << 16
_TRIES = 4
_TIMEOUT = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFile:
    """One file of a data set; ``url`` is empty where this very file is only to be had from a mirror."""

    name: str
    size: int
    sha256: str
    columns: str
    url: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """A public data set; ``origin`` is where its content was published."""

    name: str
    title: str
    shape: str
    licence: str
    origin: str
    files: tuple[DataFile, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return asdict(self)


_GITHUB = "https://github.com"
_RAW = "https://raw.githubusercontent.com"

REGISTRY: tuple[DataSet, ...] = (
    DataSet(
        name="dbpedia_schools",
        title="names and aliases of 20,272 educational institutions",
        shape="aliases",
        licence="MIT (facts from Wikidata and DBpedia)",
        origin=f"{_GITHUB}/craigtrim/edu-alias-mapper-e5",
        files=(
            DataFile(
                name="dbpedia_schools.csv",
                size=3719344,
                sha256="d445353fc28eede67b496e5413c69b2fd619ac5ab340ef1703a2b7c0d58b77af",
                columns="qid, label, description, alias, website",
                url=f"{_RAW}/craigtrim/edu-alias-mapper-e5/6abf28b29e9b756eb6892f2c86b364bdc55e0f71"
                "/data/raw/dbpedia_schools.csv",
            ),
            DataFile(
                name="dbpedia_schools.parquet",
                size=1018633,
                sha256="85b701e56971160f353248c2aeba06985d310bf5839f5642a1df458f33295f4d",
                columns="qid, label, description, alias, website",
            ),
        ),
    ),
    DataSet(
        name="institutions",
        title="56,066 research organisations (ROR, IPEDS) with 104,218 aliases",
        shape="aliases",
        licence="CC0 1.0 (ROR), public domain (IPEDS); place names CC BY (GeoNames)",
        origin=f"{_GITHUB}/ror-community/ror-records",
        files=(
            DataFile(
                name="aliases.parquet",
                size=3704534,
                sha256="6dfb7ab88a47592a53eea0cf94a475e45ed89ffb029bc55a89937a04bca50f08",
                columns="id, label, alias, kind, lang, country, website, source",
            ),
            DataFile(
                name="labels.parquet",
                size=3358825,
                sha256="722274495cea4079f6371660f94f82e5ff98407b5e86b55faea5690cb6ed06e6",
                columns="id, label, lang, label_en, qid, types, country, country_code, region, city, established, "
                "website, wikipedia, status, source, n_aliases",
            ),
        ),
    ),
    DataSet(
        name="ag_news",
        title="20,000 news items with weak and gold labels, and the official test set",
        shape="labels",
        licence="research and other non-commercial use; preparation Apache-2.0",
        origin=f"{_GITHUB}/code-kern-ai/refinery-sample-projects",
        files=(
            DataFile(
                name="ag_news_20k.parquet",
                size=2320047,
                sha256="944540d739b6e05071323255b4b7839c199dc6cde094a9b5733436a9381d4dad",
                columns="title, description, label, split, label_origin",
            ),
            DataFile(
                name="ag_news_official_test.parquet",
                size=889484,
                sha256="3b2db62372e47d4a09d1abe22869d1a51e30c9d1e46271f55aa7be44cd3b8be3",
                columns="title, description, label, split, label_origin",
            ),
        ),
    ),
    DataSet(
        name="fewrel",
        title="40,436 sentences with head, tail and relation (FewRel 1.0, train in part)",
        shape="relations",
        licence="MIT",
        origin=f"{_GITHUB}/thunlp/FewRel",
        files=(
            DataFile(
                name="fewrel.parquet",
                size=5905629,
                sha256="f2c861d94d2ea473e0f3561375f27ab5025c1b97446399842186a26e6f706f82",
                columns="text, tokens, head, head_start, head_end, tail, tail_start, tail_end, head_qid, tail_qid, "
                "head_mentions, tail_mentions, relation, relation_name, relation_description, split, source, "
                "relation_complete",
            ),
            DataFile(
                name="relations.parquet",
                size=9117,
                sha256="4573c0cb2b7ace80da04779da2e7a953202f98d7faf319b4992bc31e56232fed",
                columns="relation, relation_name, relation_description, split, relation_complete, n",
            ),
        ),
    ),
    DataSet(
        name="mtop",
        title="19,850 English utterances with intents (MTOP)",
        shape="labels",
        licence="CC BY-SA 4.0",
        origin=f"{_GITHUB}/HKUNLP/SymGen",
        files=(
            DataFile(
                name="mtop_en.parquet",
                size=739393,
                sha256="ca9f5916058c67f8c326cb356f0eae81bf4557473c23fcf92e75b6590990dd25",
                columns="text, intent, domain, split, logical_form, mtop_id, source, domain_source",
            ),
        ),
    ),
    DataSet(
        name="movie_search_msrd",
        title="9,750 films, 16,279 queries, 384,755 judgements (MSRD)",
        shape="judgments",
        licence="CC BY-SA 4.0",
        origin=f"{_GITHUB}/metarank/msrd",
        files=(
            DataFile(
                name="corpus.parquet",
                size=3264219,
                sha256="c68a4ea39e774bdb332dde748fcd9600eaf9ceb664261adc6aa3a475881f9e16",
                columns="doc_id, title, overview, tags, genres, director, actors, characters, year, votes, rating, "
                "popularity, budget, url",
            ),
            DataFile(
                name="qrels.parquet",
                size=812915,
                sha256="88d523e827aae9246783ace36a61b8b9faf8898acf9862f15fea7581df45e3f9",
                columns="query_id, doc_id, relevance",
            ),
            DataFile(
                name="queries.parquet",
                size=257460,
                sha256="6edd7efa96b89c3deabd97cdd58b4f95fde5650fe87f11c9f92c4489cf57f99e",
                columns="query_id, text",
            ),
        ),
    ),
    DataSet(
        name="product_search_chorus",
        title="19,406 electronics products, 135 queries, 3,668 graded judgements (Chorus, Icecat)",
        shape="judgments",
        licence="Apache-2.0; product data Icecat Open Content License",
        origin=f"{_GITHUB}/querqy/chorus",
        files=(
            DataFile(
                name="labels.parquet",
                size=22820,
                sha256="b6a8d9f024e6653892b4ee69c65c00d537a01ab2393a0ad398bbb2b5b915ca3d",
                columns="query_id, product_id, relevance, agent_1_rating, agent_2_rating, agent_3_rating",
            ),
            DataFile(
                name="products.parquet",
                size=5240719,
                sha256="818c3364de8c574882097d47adcf21913395b3ec41cf75eb492b8001aee97186",
                columns="product_id, name, title, short_description, supplier, price, date_released, ean, image_url, "
                "attributes",
            ),
            DataFile(
                name="queries.parquet",
                size=2962,
                sha256="fc7444625fde082d4f68b55a17ed9464edfa2d12b8db67880c55eb0b18ab4e2b",
                columns="query_id, query",
            ),
        ),
    ),
    DataSet(
        name="squad_retrieval",
        title="98,169 questions to 20,958 Wikipedia paragraphs (SQuAD 1.1)",
        shape="judgments",
        licence="CC BY-SA 4.0",
        origin=f"{_GITHUB}/rajpurkar/SQuAD-explorer",
        files=(
            DataFile(
                name="corpus.parquet",
                size=6422012,
                sha256="6ff17713d417fb21c6288343cbc3fda60b2438880701a4f156bdf5eb73f26988",
                columns="doc_id, text, title",
            ),
            DataFile(
                name="queries.parquet",
                size=3705925,
                sha256="e81b1b1cd91258cd7549be403a44f412361a4fe6fe9655f6cf3979ece70ef1ef",
                columns="query_id, text, split, answers",
            ),
            DataFile(
                name="qrels.parquet",
                size=305389,
                sha256="bb78cc000d3f669bb2bf2c6cbb2d0f75a4dde675cb1729991dc672bf891228e3",
                columns="query_id, doc_id, relevance",
            ),
            DataFile(
                name="derived_sentences.parquet",
                size=7002631,
                sha256="bdd3a1eba1506c49696b0fe0b310b6662171aaf068eb23a59c6053ad8c27ea0b",
                columns="doc_id, parent_doc_id, position, text",
            ),
            DataFile(
                name="derived_sentence_qrels.parquet",
                size=458224,
                sha256="ad63f5afddce38d8cfdf3e13483b2c52e647c584c203275b6cb06a84141639ce",
                columns="query_id, doc_id, relevance",
            ),
        ),
    ),
)


def find(name: str) -> DataSet:
    """Return a data set by name; `ConfigError` with the nearest name otherwise."""
    known = {each.name: each for each in REGISTRY}
    if name not in known:
        raise ConfigError("E_DATASET", f"no data set {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})")
    return known[name]


def fetch(dataset: DataSet, folder: Path, *, mirror: str | None = None) -> list[Path]:
    """Put the files of a data set into ``folder/<name>`` and return their paths.

    ``mirror`` is a folder or a base URL that holds ``<name>/<file>``. A file is used only when its sha256 is right; a
    cut download stays as ``.part`` and is continued the next time.

    Raises `DataError` for wrong bytes, `StorageError` when the source cannot be reached.
    """
    target = folder / dataset.name
    target.mkdir(parents=True, exist_ok=True)
    return [_fetch_file(dataset, each, target / each.name, mirror) for each in dataset.files if mirror or each.url] or (
        _refuse(dataset)
    )


def _refuse(dataset: DataSet) -> list[Path]:
    raise DataError(
        "E_DATASET_PREPARED",
        f"{dataset.name} was prepared from {dataset.origin} and is not published in this form; "
        "name a mirror that holds it with --from DIR",
    )


def _fetch_file(dataset: DataSet, file: DataFile, path: Path, mirror: str | None) -> Path:
    if path.is_file() and sha256_file(path) == file.sha256:
        return path
    part = path.with_name(path.name + ".part")
    if mirror and not urlparse(mirror).scheme.startswith("http"):
        source = Path(mirror) / dataset.name / file.name
        if not source.is_file():
            raise StorageError("E_MIRROR", f"{source}: no such file in the mirror")
        with new_file(path) as beside:
            shutil.copyfile(source, beside)
            _check(file, beside, str(source))
        return path
    url = f"{mirror.rstrip('/')}/{dataset.name}/{file.name}" if mirror else file.url
    _download(url, file, part)
    with new_file(path) as beside:
        part.rename(beside)
        _check(file, beside, url)
    return path


def _check(file: DataFile, path: Path, source: str) -> None:
    digest = sha256_file(path)
    if digest != file.sha256:
        raise DataError("E_CHECKSUM", f"{source}: sha256 is {digest[:16]}..., expected {file.sha256[:16]}...; not used")


def _download(url: str, file: DataFile, part: Path) -> None:
    """Download into ``part``, continuing what is there; a source that breaks off is asked again a few times."""
    last: Exception | None = None
    with progress(f"fetch {file.name}", file.size) as bar:
        for _ in range(_TRIES):
            have = part.stat().st_size if part.is_file() else 0
            if have == file.size and sha256_file(part) == file.sha256:
                return
            if have >= file.size:
                part.unlink()
                have = 0
            try:
                for count in _stream(url, part, have, file.size):
                    bar.advance(count)
            except urllib.error.HTTPError as error:
                raise StorageError("E_FETCH", f"{url}: the server says {error.code} {error.reason}") from error
            except (OSError, http.client.HTTPException) as error:
                last = error
                continue
            if part.stat().st_size == file.size:
                return
    raise StorageError("E_FETCH", f"{url}: broke off {_TRIES} times ({last}); what came is kept, run again to go on")


def _stream(url: str, part: Path, have: int, size: int) -> Iterator[int]:
    headers = {"User-Agent": "honed", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http(s) only, from registry or the user
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
        mode = "ab" if have and answer.status == 206 else "wb"
        total = have if mode == "ab" else 0
        with part.open(mode) as out:
            while block := answer.read(_BLOCK):
                total += len(block)
                if total > size:
                    raise OSError(f"more than the {size} bytes expected")
                out.write(block)
                yield len(block)
