"""JSON under /ems-rs, GET only. Every answer is an object with a manifest and one list or object (contract, reports section 3)."""

from __future__ import annotations

from fastapi import APIRouter

from reports.api import details, figures, summaries

router = APIRouter(prefix="/ems-rs")
for each in (details, figures, summaries):
    router.include_router(each.router)
