"""A seeded store, the app on it, and the sessions themselves to judge the figures by."""

from __future__ import annotations

import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from reports.server import app_of
from reports.site import Site
from reports.store import Store
from tests.conftest import JARS
from tests.reports import seed
from tests.reports.seed import Seeded

ZONE = ZoneInfo("Asia/Kolkata")  # hours begin at half past UTC, days at 18:30: nothing agrees with UTC by chance


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports") / "seeded.sqlite3"


@pytest.fixture(scope="session")
def seeded(store_path: Path) -> Seeded:
    return seed.fill(store_path, hours=6, zone=ZONE.key)


@pytest.fixture
def connection(store_path: Path, seeded: Seeded) -> Iterator[sqlite3.Connection]:
    with Store(store_path).reading() as found:
        yield found


def site(path: Path, at: int = seed.END, zone: ZoneInfo = ZONE) -> Site:
    return Site(Store(path), zone, clock=lambda: at)


def client(where: Site) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app_of(where, Path("no-assets")))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@pytest.fixture
async def web(store_path: Path, seeded: Seeded) -> httpx.AsyncClient:
    return client(site(store_path))


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
