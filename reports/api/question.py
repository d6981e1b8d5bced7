"""One request of the API being answered: parameters in, JSON with a manifest out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from fastapi import Request
from fastapi.responses import Response

from reports import VERSION
from reports.formats import instant, offset
from reports.parameters import Parameter, Reader
from reports.queries import live
from reports.queries.paging import Page
from reports.site import Site, site_of
from reports.store.contract import Reading

Json = dict[str, object]


def documented(*parameters: Parameter[object], required: Sequence[Parameter[object]] = ()) -> Json:
    """The parameters of an operation for OpenAPI."""
    return {
        "parameters": [
            {
                "name": parameter.name,
                "in": "query",
                "required": parameter in required,
                "description": parameter.allowed + (" (repeatable)" if parameter.repeatable else ""),
                "schema": {"type": "array", "items": {"type": "string"}} if parameter.repeatable else {"type": "string"},
            }
            for parameter in parameters
        ]
    }


@dataclass
class Question:
    """One request being answered."""

    request: Request
    site: Site
    reader: Reader
    began: float

    @staticmethod
    def of(request: Request) -> Question:
        site = site_of(request)
        return Question(request, site, Reader(request.url.query, site.zone), time.perf_counter())

    def answer(self, reading: Reading, name: str, content: object, *, pages: Json | None = None, note: str | None = None) -> Response:
        """`normalized-params` are what was understood: values as given, but instants in the reporting time zone, ranges on boundaries."""
        body = {"manifest": self._manifest(reading, pages, note), name: content}
        return Response(orjson.dumps(body), media_type="application/json")

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


def pages_of(page: Page, total: int | None, next_cursor: str | None) -> Json | None:
    """Only where there is more than one page. Behind a cursor pages are not counted."""
    if total is None:
        return {"page-size": page.size, **({"next-cursor": next_cursor} if next_cursor else {})}
    if total <= page.size and page.number == 1:
        return None
    found: Json = {"current-page": page.number, "page-count": -(-total // page.size), "record-count": total, "page-size": page.size}
    return found | ({"next-cursor": next_cursor} if next_cursor else {})
