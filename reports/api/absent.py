"""Services of the vendor whose figures no message of the contract carries: they say so."""

from __future__ import annotations

from fastapi import APIRouter

from reports.api.question import PROBLEMS, Json
from reports.exceptions import NotFed

router = APIRouter(tags=["not fed"])
ABSENT: Json = {"responses": {"501": PROBLEMS["501"]}}


@router.get("/RT/tenants/usage/outbound", status_code=501, openapi_extra=ABSENT)
def outbound() -> None:
    """Queued, succeeded and failed outbound requests of a tenant."""
    raise NotFed("outbound requests that are queued, have succeeded or have failed, by tenant, which an SSG counts")


@router.get("/RT/components/PSTNC/snmp-stats", status_code=501, openapi_extra=ABSENT)
def pstnc() -> None:
    """Ports and boards of a PSTNC."""
    raise NotFed("states of ports and boards, which a PSTNC shows by SNMP")


@router.get("/operations/peaks/ASR", status_code=501, openapi_extra=ABSENT)
def asr() -> None:
    """Peaks of speech recognition sessions."""
    raise NotFed("start and end of each speech recognition session")
