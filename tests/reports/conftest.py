"""Seeded stores, the app on them, and the sessions themselves to judge the figures by.

What asks for `store`, `reading` or `web` is tried on SQLite and on the SQL Server that RS_TEST_SQLSERVER names (tests/sinks/server.py).
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from reports.server import app_of
from reports.site import Site
from reports.store.contract import Reading, Store
from reports.store.sqlite import SQLiteStore
from tests.conftest import JARS
from tests.reports import seed
from tests.reports.seed import Seeded

VARIABLE = "RS_TEST_SQLSERVER"
ZONE = ZoneInfo("Asia/Kolkata")  # hours begin at half past UTC, days at 18:30: nothing agrees with UTC by chance


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports") / "seeded.sqlite3"


@pytest.fixture(scope="session")
def seeded(store_path: Path) -> Seeded:
    return seed.fill(store_path, hours=6, zone=ZONE.key)


@pytest.fixture(scope="session")
def sqlserver(store_path: Path, seeded: Seeded) -> Iterator[Store]:
    """A SQL Server with the same rows."""
    pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)
    from reports.store.sqlserver import SQLServerStore
    from sinks.sql.migrate import migrate
    from tests.reports.copying import copy
    from tests.sinks.server import emptied, server

    target = emptied(server())
    migrate(target)
    copy(store_path, target)
    found = SQLServerStore(target.address, target.password)
    yield found
    found.close()


needs_server = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"NO SQL SERVER: {VARIABLE}=mssql://USER@HOST:1433/DATABASE_test is not set, nothing here was tried"
)


@pytest.fixture(scope="session", params=["sqlite", pytest.param("sqlserver", marks=needs_server)])
def store(request: pytest.FixtureRequest, store_path: Path, seeded: Seeded) -> Store:
    if request.param == "sqlite":
        return SQLiteStore(store_path)
    found: Store = request.getfixturevalue("sqlserver")
    return found


@pytest.fixture
def reading(store: Store) -> Iterator[Reading]:
    with store.reading() as found:
        yield found


def site(store: Store | Path, at: int = seed.END, zone: ZoneInfo = ZONE) -> Site:
    return Site(SQLiteStore(store) if isinstance(store, Path) else store, zone, clock=lambda: at)


def client(where: Site) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app_of(where, Path("no-assets")))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@pytest.fixture
async def web(store: Store) -> httpx.AsyncClient:
    return client(site(store))


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The WebJars of the pages, unpacked as the set-up does it."""
    jars = sorted((JARS / "pages").glob("*.jar"))
    if not jars:
        pytest.skip(f"NOT TESTED: pages in a browser need the jars in {JARS / 'pages'} (make setup fetches them)")
    folder = tmp_path_factory.mktemp("assets")
    for jar in jars:
        with zipfile.ZipFile(jar) as archive:
            for name in archive.namelist():
                parts = name.split("/")
                if name.startswith("META-INF/resources/webjars/") and name.endswith((".min.js", ".min.css")):
                    target = folder.joinpath(parts[3], *parts[5:])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
    return folder
