from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.configserver import process
from pipeline.settings import load
from tests.configserver.parts import EtcdNode


@pytest.fixture(scope="package")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdNode]:
    """An etcd that no test stops."""
    node = EtcdNode(tmp_path_factory.mktemp("etcd")).start()
    yield node
    node.kill()


@pytest.fixture
def emptied(etcd: EtcdNode) -> EtcdNode:
    etcd.ctl("del", "/rs/", "--prefix")
    return etcd


@pytest.fixture
def own_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdNode]:
    """An etcd that the test may stop."""
    node = EtcdNode(tmp_path_factory.mktemp("own-etcd")).start()
    yield node
    node.kill()


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """No test follows what another has begun."""
    yield
    load.cache_clear()
    if process._mine is not None:
        process._mine.stop()
        process._mine = None
