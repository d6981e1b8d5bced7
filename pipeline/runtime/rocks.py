"""Encoded rows on disk: one RocksDB a partition, for tables that outgrow memory.

What lies there is worth nothing without the process that wrote it: a crash may have left rows the changelog does not have, and
lost others. So nothing is logged ahead (the changelog is the log), and every partition begins by deleting what is there.
RocksDB locks a folder while it is open, by whichever process; a folder in use is never deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBatch, WriteBufferManager, WriteOptions

from .errors import FolderInUse
from .rows import Rows

MIB = 2**20
# Of the whole process, however many tables and partitions it has.
BLOCK_CACHE = 64 * MIB
WRITE_BUFFERS = 64 * MIB
# Of one partition; where many are written to at a time, WRITE_BUFFERS makes them flush earlier.
WRITE_BUFFER = 4 * MIB
# Rows are read one by one and hold long runs of the same: larger blocks compress better, and half the index fits into memory.
BLOCK = 16 * 1024
# 32 partitions with all their files open stay below the 1024 that a process may open by default. A partition of up to
# FILES * FILE never opens one twice.
FILES = 24
FILE = 16 * MIB
BLOOM_BITS = 10  # one in a hundred absent keys is looked for on disk; recovery asks for absent ones mostly

LOCKED = ("lock file", "lock hold by")


def wipe(folder: Path) -> None:
    """Delete every database below `folder`. Raises FolderInUse if a process has one open."""
    if folder.is_dir():
        for left in folder.iterdir():
            _destroy(left)


def _destroy(folder: Path) -> None:
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    try:
        Rdict.destroy(str(folder))  # by way of RocksDB, because it asks for the lock first
    except Exception as exc:  # rocksdict has no type of its own for it
        if any(words in str(exc) for words in LOCKED):
            raise FolderInUse(
                f"another process has its tables in {folder}: give each worker a folder of its own (faust --datadir FOLDER)"
            ) from exc
        raise
    shutil.rmtree(folder, ignore_errors=True)  # what RocksDB does not know


class RocksRows(Rows):
    """Changes are held back in memory and seen by every read until `flush` writes them as one batch."""

    def __init__(self, folder: Path) -> None:
        """Raises FolderInUse."""
        self._folder = folder
        _destroy(folder)
        folder.mkdir(parents=True)
        self._db = Rdict(str(folder), _options())
        self._no_log = WriteOptions()
        self._no_log.disable_wal = True  # type: ignore[assignment, method-assign]  # a property, whatever the stub says
        self._seen: dict[bytes, bytes | None] = {}  # read ahead, or changed
        self._changed: dict[bytes, None] = {}

    def expect(self, keys: Iterable[bytes]) -> None:
        seen = self._seen
        wanted = [key for key in dict.fromkeys(keys) if key not in seen]
        if wanted:
            seen.update(zip(wanted, self._db.get(wanted), strict=True))  # type: ignore[arg-type]  # a list gives a list

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        value = self._seen[key] if key in self._seen else self._db.get(key)
        return default if value is None else value

    def pop(self, key: bytes, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        value = self.get(key)
        if value is None:
            return default
        self._seen[key] = self._changed[key] = None
        return value

    def flush(self) -> None:
        if self._changed:
            seen, batch = self._seen, WriteBatch(raw_mode=True)
            for key in self._changed:
                value = seen[key]
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
            self._db.write(batch, self._no_log)
            self._changed.clear()
        self._seen.clear()

    def close(self) -> None:
        self._seen.clear()
        self._changed.clear()
        self._db.close()
        _destroy(self._folder)

    # -- the mapping

    def __getitem__(self, key: bytes) -> bytes:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self.get(key) is not None

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._seen[key], self._changed[key] = value, None

    def __delitem__(self, key: bytes) -> None:
        if self.pop(key) is None:
            raise KeyError(key)

    def __iter__(self) -> Iterator[bytes]:
        """In the order of the keys, as they are now: later changes are not seen."""
        self.flush()
        yield from self._db.keys()

    def __len__(self) -> int:
        """Reads everything."""
        return sum(1 for _ in self)

    def values(self) -> Iterator[bytes]:  # type: ignore[override]
        self.flush()
        yield from self._db.values()


@lru_cache(maxsize=1)
def _shared() -> tuple[Cache, WriteBufferManager]:
    return Cache(BLOCK_CACHE), WriteBufferManager(WRITE_BUFFERS, False)


def _options() -> Options:
    cache, buffers = _shared()
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_block_size(BLOCK)
    blocks.set_bloom_filter(BLOOM_BITS, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_manager(buffers)
    options.set_write_buffer_size(WRITE_BUFFER)
    options.set_target_file_size_base(FILE)
    options.set_max_open_files(FILES)
    options.set_keep_log_file_num(1)
    options.set_stats_dump_period_sec(0)
    return options
