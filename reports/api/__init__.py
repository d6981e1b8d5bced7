"""JSON, XML and CSV under /ems-rs, GET only (contract, reports section 3). JSON and XML have a manifest beside one list or object.

`question` is what every operation begins with, `shapes` declares the answers.
"""

from __future__ import annotations

from fastapi import APIRouter

from reports.api import absent, billing, details, figures, objects, quality, records, schema, summaries

# absent first: its paths are parts of others
router = APIRouter(prefix="/ems-rs")
for each in (absent, billing, details, figures, objects, quality, records, schema, summaries):
    router.include_router(each.router)
