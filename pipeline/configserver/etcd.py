"""A Config Server on etcd v3, by its JSON gateway.

    /rs/applications/NAME/about                    the application object
    /rs/applications/NAME/options/SECTION/OPTION   what an operator has set
    /rs/applications/NAME/defaults/SECTION/OPTION  what there is to set, as JSON; written by rs init
    /rs/tenants/DBID                               {"name": "Acme", "parent": 1}; and so profiles, dns and components

A watch only says that something has changed; then everything is read anew, at one revision. So a watch that was cancelled, because what it
waits for is compacted, needs no case of its own. A watch may also stand still without a word: a question in between finds that out.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import aiohttp
import msgspec
import orjson

from pipeline.configserver.errors import Away, Refused
from pipeline.configserver.held import KINDS, Added, Description, Held

ROOT = "/rs/"
PAGE = 1000  # keys of one answer
MOST_IN_ONE = 100  # puts of one transaction; etcd takes 128 by default
AT_ONCE = 20  # transactions on their way
ASK_S = 5.0  # between two questions whether the watch still tells of changes
SETTLED_S = 0.1  # several keys that are set one after the other are one change
LONGEST_LINE = 8 * 1024 * 1024

INVALID, REFUSED, NOT_NOW, UNAUTHENTICATED = 3, 7, 9, 16  # codes of gRPC


class Access(NamedTuple):
    """`endpoints`: http(s)://HOST:PORT; `tls`: None without."""

    endpoints: Sequence[str]
    user: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None
    timeout_s: float = 5.0


class _Said(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Read(NamedTuple):
    keys: dict[str, str]
    revision: int


class Etcd:
    optional = False

    def __init__(self, where: str, access: Access, application: str) -> None:
        self.where = where
        self._access = access
        self._own = f"{ROOT}applications/{application}/"
        self._application = application
        self._token = ""
        self._endpoint = 0
        self._session: aiohttp.ClientSession | None = None

    async def read(self) -> Held:
        return self._held((await self._read()).keys)

    async def add(self, wanted: Held) -> Added:
        there = self._held((await self._read()).keys)
        objects = await self._put_missing(
            {
                f"{ROOT}{kind}/{dbid}": text
                for kind in KINDS
                for dbid, text in wanted.objects.get(kind, {}).items()
                if dbid not in there.objects[kind]
            }
        )
        if not wanted.application:
            return Added(objects=objects)
        described = {name: msgspec.json.encode(one).decode() for name, one in wanted.described.items()}
        if not there.application:
            if await self._create(described):
                return Added(True, len(described), 0, objects)
            there = self._held((await self._read()).keys)
        new = {self._description_key(name): text for name, text in described.items() if name not in there.described}
        others = [name for name, one in there.described.items() if wanted.described.get(name) != one]
        for name in others:
            await self._describe_anew(self._description_key(name), described.get(name))
        return Added(False, await self._put_missing(new), len(others), objects)

    async def changes(self) -> AsyncGenerator[Held, None]:
        while True:
            begun = time.monotonic()
            read = await self._read()
            yield self._held(read.keys)
            took_s = time.monotonic() - begun
            await self._changed(read)
            await asyncio.sleep(max(SETTLED_S, took_s))  # while thousands of objects are made, half of the time at most goes into reading

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _read(self) -> _Read:
        """All keys below ROOT, of one revision."""
        keys: dict[str, str] = {}
        begin, revision = ROOT, 0
        while True:
            asked = {"revision": str(revision)} if revision else {}
            answer = await self._call("kv/range", key=_code(begin), range_end=_code(_end(ROOT)), limit=str(PAGE), **asked)
            revision = revision or int(answer["header"]["revision"])
            found = [(_text(pair["key"]), _text(pair.get("value", ""))) for pair in answer.get("kvs", [])]
            keys.update(found)
            if not answer.get("more"):
                return _Read(keys, revision)
            begin = found[-1][0] + "\0"

    async def _changed(self, read: _Read) -> None:
        """Returns when something below ROOT is other than it was read, or nobody would tell. Raises Away."""
        waiting = asyncio.create_task(self._watched(read.revision + 1)), asyncio.create_task(self._asked(read))
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _watched(self, revision: int) -> None:
        """Until the watch says anything but that it is there: an event, or that it is cancelled."""
        create = {"key": _code(ROOT), "range_end": _code(_end(ROOT)), "start_revision": str(revision)}
        endpoint = self._access.endpoints[self._endpoint]
        try:
            async with self._opened().post(
                f"{endpoint}/v3/watch",
                data=orjson.dumps({"create_request": create}),
                headers=self._headers(),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._access.timeout_s),
                read_bufsize=LONGEST_LINE,
            ) as response:
                async for line in response.content:
                    said = orjson.loads(line)
                    result = said.get("result", {})
                    if "error" in said or (result.get("canceled") and "compact_revision" not in result):
                        reason = str(said.get("error") or result.get("cancel_reason"))
                        if "invalid auth token" in reason:  # it has run out since the reading
                            self._token = ""
                            return
                        raise Away(f"etcd at {endpoint} watches no longer: {reason}")
                    if result.get("events") or result.get("canceled"):
                        return
            raise Away(f"etcd at {endpoint} has ended the watch")
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise Away(f"etcd at {endpoint} is lost: {_why(exc)}") from exc

    async def _asked(self, read: _Read) -> None:
        """Until a question finds something that the watch should have told."""
        while True:
            await asyncio.sleep(ASK_S)
            answer = await self._call(
                "kv/range",
                key=_code(ROOT), range_end=_code(_end(ROOT)), limit="1", keys_only=True, sort_order="DESCEND", sort_target="MOD",
            )  # fmt: skip
            latest = max((int(pair["mod_revision"]) for pair in answer.get("kvs", [])), default=0)
            if latest > read.revision or int(answer.get("count", 0)) != len(read.keys):
                return

    async def _create(self, described: Mapping[str, str]) -> bool:
        """The application object and its options in one transaction; False: another was quicker."""
        pairs = {self._description_key(name): text for name, text in described.items()}
        first = dict(list(pairs.items())[: MOST_IN_ONE - 1])
        about = orjson.dumps({"name": self._application, "by": _version()}).decode()
        made = await self._put_if_missing({f"{self._own}about": about, **first}, guard=f"{self._own}about")
        if made:
            await self._put_missing({key: text for key, text in pairs.items() if key not in first})
        return made

    async def _describe_anew(self, key: str, text: str | None) -> None:
        """None: there is no such option any more."""
        if text is None:
            await self._call("kv/deleterange", key=_code(key))
        else:
            await self._call("kv/put", key=_code(key), value=_code(text))

    async def _put_missing(self, pairs: Mapping[str, str]) -> int:
        """Each key on its own; gives how many were not there."""
        made, keys = 0, list(pairs)
        for begin in range(0, len(keys), AT_ONCE):
            some = keys[begin : begin + AT_ONCE]
            made += sum(await asyncio.gather(*(self._put_if_missing({key: pairs[key]}, guard=key) for key in some)))
        return made

    async def _put_if_missing(self, pairs: Mapping[str, str], guard: str) -> bool:
        """In one transaction, if there is no key `guard`; False: there is."""
        answer = await self._call(
            "kv/txn",
            compare=[{"key": _code(guard), "target": "VERSION", "result": "EQUAL", "version": "0"}],
            success=[{"request_put": {"key": _code(key), "value": _code(text)}} for key, text in pairs.items()],
        )
        return bool(answer.get("succeeded"))

    async def _call(self, what: str, **asked: Any) -> dict[str, Any]:
        """Ask an endpoint, and the next one if it does not answer. Raises Away."""
        with_token = bool(self._token)
        for again in (True, False):
            try:
                if self._access.user and not self._token:
                    self._token = (await self._ask("auth/authenticate", {"name": self._access.user, "password": self._access.password}))[
                        "token"
                    ]
                    with_token = False
                return await self._ask(what, asked)
            except _Said as exc:
                if again and with_token and exc.code in (INVALID, UNAUTHENTICATED):  # the token has run out, or etcd was started again
                    self._token = ""
                    continue
                raise Refused(self._refusal(exc)) from exc
        raise AssertionError("the second attempt returns or raises")

    async def _ask(self, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        failed: BaseException | None = None
        for _ in self._access.endpoints:
            try:
                return await self._ask_endpoint(what, asked)
            except _Said as exc:
                if exc.code in (INVALID, REFUSED, NOT_NOW, UNAUTHENTICATED):
                    raise
                failed = exc
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
                failed = exc
            self._endpoint = (self._endpoint + 1) % len(self._access.endpoints)
        raise Away(self._failure(failed)) from failed

    async def _ask_endpoint(self, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self._access.endpoints[self._endpoint]}/v3/{what}"
        for again in (True, False):
            try:
                async with self._opened().post(url, data=orjson.dumps(asked), headers=self._headers()) as response:
                    body = await response.read()
            except aiohttp.ServerDisconnectedError:
                if again:  # a connection that was kept since before a restart; nothing that is asked does harm a second time
                    continue
                raise
            if response.status >= 400:
                raise _said(response.status, body)
            return dict(orjson.loads(body))
        raise AssertionError("the second attempt returns or raises")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._access.timeout_s),
                connector=aiohttp.TCPConnector(ssl=self._access.tls or True),
            )
        return self._session

    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._token} if self._token else {}

    def _refusal(self, exc: _Said) -> str:
        if "user name is empty" in str(exc) or "user name not found" in str(exc):
            return f"{self.where} asks who we are: set config.user and config.password_file"
        if exc.code == REFUSED:
            return f"{self.where} lets user {self._access.user or '(none)'} not read or write {ROOT} ({exc}): give it a role that may"
        return f"{self.where} refuses user {self._access.user or '(none)'} ({exc}): correct config.user and config.password_file"

    def _failure(self, exc: BaseException | None) -> str:
        if isinstance(exc, aiohttp.ClientSSLError | ssl.SSLError) or "[SSL" in str(exc):  # aiohttp makes a late one an OSError
            return f"{self.where}: no TLS ({exc}): look at config.ca_file, config.cert_file and config.key_file"
        if isinstance(exc, _Said):
            step = "take a client certificate without a CommonName" if "CommonName" in str(exc) else "look at its log"
            return f"{self.where} answers with an error ({exc}): {step}"
        return f"{self.where} does not answer ({_why(exc)}): start it, or name another with RS_CONFIG__SERVER"

    def _held(self, keys: Mapping[str, str]) -> Held:
        options = _named(keys, f"{self._own}options/")
        described = {}
        for name, text in _named(keys, f"{self._own}defaults/").items():
            try:
                described[name] = msgspec.json.decode(text, type=Description)
            except msgspec.MsgspecError:  # somebody has written into it: it is written anew
                described[name] = Description("", "", "", "")
        objects: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        for key, text in keys.items():
            kind, _, dbid = key.removeprefix(ROOT).partition("/")
            if kind in objects:
                objects[kind][dbid] = text
        return Held(application=f"{self._own}about" in keys, options=options, described=described, objects=objects)

    def _description_key(self, name: str) -> str:
        return f"{self._own}defaults/{name.replace('.', '/', 1)}"


def _why(exc: BaseException | None) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return exc.os_error.strerror or str(exc.os_error)
    if isinstance(exc, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "the connection has ended"
    return str(exc) or type(exc).__name__


def _said(status: int, body: bytes) -> _Said:
    """Most errors are JSON, those of the gateway itself are text."""
    try:
        answer = orjson.loads(body)
        return _Said(int(answer.get("code", 0)), str(answer.get("message") or answer.get("error")))
    except (ValueError, AttributeError):
        return _Said(UNAUTHENTICATED if status in (401, 403) else 0, f"{status} {body[:200].decode(errors='replace').strip()}")


def _named(keys: Mapping[str, str], prefix: str) -> dict[str, str]:
    """section.name -> text of the keys below `prefix`."""
    return {key.removeprefix(prefix).replace("/", ".", 1): text for key, text in keys.items() if key.startswith(prefix)}


def _end(prefix: str) -> str:
    """The first key behind all that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _code(text: str) -> str:
    return b64encode(text.encode()).decode()


def _text(coded: str) -> str:
    return b64decode(coded).decode(errors="replace")


def _version() -> str:
    with contextlib.suppress(PackageNotFoundError):
        return version("reporting-server")
    return ""
