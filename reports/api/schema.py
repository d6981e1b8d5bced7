"""The RelaxNG schemas of the XML answers."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from reports.api.question import PROBLEMS
from reports.api.shapes import SCHEMAS

router = APIRouter(prefix="/schema", tags=["schema"])
FOLDER = Path(__file__).parents[1] / "schema"
NAMES = frozenset(f"{service.schema}.rng" for service, _ in SCHEMAS)
ANSWER = {"200": {"description": "RelaxNG, XML syntax.", "content": {"application/xml": {}}}, "404": PROBLEMS["404"]}


@router.get("/{name}", openapi_extra={"responses": ANSWER})
def schema(name: str) -> Response:
    """The schema of an answer in XML, such as CDR_Events.rng."""
    if name not in NAMES:
        raise HTTPException(404, f"There is no such schema; there are {', '.join(sorted(NAMES))}.")
    return Response((FOLDER / name).read_bytes(), media_type="application/xml")
