"""One request of the API being answered: parameters in; JSON, XML or CSV out, the first two with a manifest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import orjson
from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from reports import VERSION
from reports import parameters as p
from reports.exceptions import NotModified
from reports.formats import instant, offset
from reports.parameters import Parameter, Reader
from reports.queries import live
from reports.queries.paging import Page
from reports.render import as_csv, as_xml
from reports.render.shape import Row, Service
from reports.site import Site, site_of
from reports.store.contract import Reading

Json = dict[str, object]
MEDIA = {"json": "application/json", "xml": "application/xml", "csv": "text/csv"}
ALSO = {"text/xml": "xml", "application/*": "json", "*/*": "json", "text/*": "csv"}
TAG_LASTS_MS = 60_000  # names and retention change an answer, too, without that a record is stored


def documented(*parameters: Parameter[object], required: Sequence[Parameter[object]] = (), service: Service | None = None) -> Json:
    """The parameters of an operation for OpenAPI; of a `service` also its forms and its errors."""
    described = [_described(parameter, parameter in required) for parameter in (*parameters, *((p.FORMAT,) if service else ()))]
    if service is None:
        return {"parameters": described}
    inside: Json = {"type": "object"} if service.single else {"type": "array", "items": {"type": "object"}}
    answer = {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["manifest", service.key],
                "properties": {"manifest": {"type": "object"}, service.key: inside},
            }
        },
        "application/xml": {"schema": {"type": "string", "description": f"RelaxNG: /ems-rs/schema/{service.schema}.rng"}},
        "text/csv": {"schema": {"type": "string"}},
    }
    responses = {"200": {"description": "The report.", "content": answer}, "304": {"description": "Not changed: If-None-Match."}}
    return {"parameters": described, "responses": responses | {status: PROBLEMS[status] for status in ("400", "503")}}


def _problem(description: str) -> Json:
    return {"description": description, "content": {"application/problem+json": {"schema": {"type": "object"}}}}


PROBLEMS = {
    "400": _problem("Parameters are wrong: `faults` names each, its value and what is allowed."),
    "404": _problem("There is no such thing in the store."),
    "501": _problem("No message carries these figures: `missing` says which."),
    "503": _problem("The store cannot be read now: `lack` and `detail` say why."),
}


def _described(parameter: Parameter[object], required: bool) -> Json:
    one: Json = {"type": "string"} | ({"enum": list(parameter.values)} if parameter.values else {})
    found: Json = {
        "name": parameter.name,
        "in": "query",
        "required": required,
        "description": parameter.allowed + (" (repeatable)" if parameter.repeatable else ""),
        "schema": {"type": "array", "items": one} if parameter.repeatable else one,
    }
    if parameter.example:
        found["example"] = [parameter.example] if parameter.repeatable else parameter.example
    return found


@dataclass
class Question:
    """One request being answered. `form`: json, xml or csv."""

    request: Request
    site: Site
    reader: Reader
    began: float
    form: str
    tag: str | None = None

    @staticmethod
    def of(request: Request) -> Question:
        site = site_of(request)
        reader = Reader(request.url.query, site.zone)
        return Question(request, site, reader, time.perf_counter(), reader.one(p.FORMAT) or accepted(request.headers.get("accept", "")))

    @property
    def exports(self) -> bool:
        """Whether all rows are asked for, and not a page of them."""
        paged = {parameter.name for parameter in (p.PAGE, p.PAGE_SIZE, p.CURSOR)}
        return self.form == "csv" and not any(name in paged and value for name, value in self.reader.given)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """One state of the store. Raises NotModified if the asker has the answer to this question from it already."""
        with self.site.store.reading() as reading:
            said = self.request.headers.get("if-none-match")
            self.tag = self._tag(reading)
            if said is not None and _names(said, self.tag):
                raise NotModified(self.tag)
            yield reading

    def _tag(self, reading: Reading) -> str:
        """Weak, as an answer says when it was made. The same question to the same store in the same minute has the same one."""
        asked = (VERSION, self.form, self.request.url.path, self.request.url.query, self.site.zone.key, self.site.clock() // TAG_LASTS_MS)
        digest = hashlib.sha256(repr((asked, live.state(reading), live.freshness(reading))).encode())
        return f'W/"{digest.hexdigest()[:24]}"'

    def answer(
        self, reading: Reading, service: Service | str, content: object, *, pages: Json | None = None, note: str | None = None
    ) -> Response:
        """`normalized-params` are what was understood: values as given, but instants in the reporting time zone, ranges on boundaries.

        A service that is no more than a name has JSON only.
        """
        headers = self._headers()
        if isinstance(service, str) or self.form == "json":
            body = {"manifest": self._manifest(reading, pages, note), service if isinstance(service, str) else service.key: content}
            return Response(orjson.dumps(body), media_type=MEDIA["json"], headers=headers)
        if self.form == "xml":
            return Response(
                as_xml.document(service, self._manifest(reading, pages, note), content), media_type=MEDIA["xml"], headers=headers
            )
        rows: Iterable[Row] = [content] if service.single else content  # type: ignore[list-item, assignment]
        return self.export(service, rows)

    def export(self, service: Service, rows: Iterable[Row]) -> Response:
        """CSV of the rows, given on as they come. What fails before the first piece is an error, afterwards the answer breaks off."""
        pieces = as_csv.text(service, rows)
        first = next(pieces)

        def all_pieces() -> Iterator[bytes]:
            yield first
            yield from pieces

        headers = {**self._headers(), "content-disposition": f'attachment; filename="{service.schema}.csv"'}
        return StreamingResponse(all_pieces(), media_type="text/csv; charset=utf-8; header=present", headers=headers)

    def _headers(self) -> dict[str, str]:
        return {"vary": "Accept", **({"etag": self.tag} if self.tag else {})}

    def _manifest(self, reading: Reading, pages: Json | None, note: str | None) -> Json:
        now, zone = self.site.clock(), self.site.zone
        given: dict[str, list[str]] = {}
        for key, value in self.reader.given:
            given.setdefault(key, []).append(value)
        meta = {
            "time_zone": zone.key,
            "timezone_offset": offset(now, zone),
            "dst_offset": offset(now, zone, dst=True),
            "version": VERSION,
            "generated_at": instant(now, zone),
            "generation_time": round(time.perf_counter() - self.began, 4),
            "data_freshness": instant(live.freshness(reading).folded_to, zone),
        }
        manifest: Json = {
            "request-uri": self.request.url.path + (f"?{self.request.url.query}" if self.request.url.query else ""),
            "request-params": given,
            "recognised-params": self.reader.recognised,
            "normalized-params": self.reader.normalised,
        }
        if pages is not None:
            manifest["pages"] = pages
        if note is not None:
            manifest["note"] = note
        return manifest | {"meta": meta}


def accepted(header: str) -> str:
    """json, xml or csv: what the header Accept likes best, of equals JSON first. Who takes none of them gets JSON."""
    best, form = 0.0, "json"
    for part in header.lower().split(","):
        media, *rest = (word.strip() for word in part.split(";"))
        known = next((name for name, its in MEDIA.items() if its == media), ALSO.get(media))
        quality = _quality(rest)
        if known is not None and (quality > best or (quality == best and known == "json")):
            best, form = quality, known
    return form


def _quality(words: Iterable[str]) -> float:
    for word in words:
        name, _, value = word.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _names(header: str, tag: str) -> bool:
    """If-None-Match compares weakly."""
    return header.strip() == "*" or tag.removeprefix("W/") in (each.strip().removeprefix("W/") for each in header.split(","))


def pages_of(page: Page, total: int | None, next_cursor: str | None) -> Json | None:
    """Only where there is more than one page. Behind a cursor pages are not counted."""
    if total is None:
        return {"page-size": page.size, **({"next-cursor": next_cursor} if next_cursor else {})}
    if total <= page.size and page.number == 1:
        return None
    found: Json = {"current-page": page.number, "page-count": -(-total // page.size), "record-count": total, "page-size": page.size}
    return found | ({"next-cursor": next_cursor} if next_cursor else {})
