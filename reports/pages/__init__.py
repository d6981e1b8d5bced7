"""The pages: HTML made on the server, kept fresh by htmx. They ask the same queries as the API."""

from __future__ import annotations

from fastapi import APIRouter

from reports.pages import billing, calls, now, pipeline, quality, trends

router = APIRouter(include_in_schema=False)
for each in (now, calls, trends, quality, billing, pipeline):
    router.include_router(each.router)
