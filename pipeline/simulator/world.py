"""Who is called: tenants, their limits, IVR profiles with their dialogs, and the components that handle the calls."""

from __future__ import annotations

import math
from dataclasses import dataclass

RMS = (201, 202)
MCPS = (301, 302, 303, 304)
CCP = 401

ROOT = 1
ROOT_NAME = "Environment"

MEDIAN_S, SIGMA, LONGEST_S = 40.0, 0.8, 480.0  # talk time: log-normal
MEAN_S = MEDIAN_S * math.exp(SIGMA**2 / 2)


@dataclass(frozen=True, slots=True)
class Step:
    """One action of a dialog. `share`: how many callers come to it; `weight`: how long it takes, beside the others."""

    action: str
    share: float = 1.0
    weight: float = 1.0
    fails: float = 0.05
    inner: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Tenant:
    path: tuple[int, ...]
    name: str  # the names along the path

    @property
    def dbid(self) -> int:
        return self.path[-1]


@dataclass(frozen=True, slots=True)
class Profile:
    """An IVR profile. The shares are of its calls; the rest are plain inbound calls."""

    app: int
    name: str
    tenant: Tenant
    dns: tuple[str, ...]
    dialog: tuple[Step, ...]
    weight: float
    outbound: float = 0.0
    bridged: float = 0.0  # ends with a transfer to an agent
    ccxml: bool = False  # a Call Control Platform places the calls


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls in progress of a tenant: up to `usage` burst level 1, up to `burst2` level 2, up to `burst3` level 3; beyond that rejected."""

    usage: int
    burst2: int
    burst3: int

    def level(self, in_progress: int) -> int:
        return 1 if in_progress <= self.usage else 2 if in_progress <= self.burst2 else 3


IDENTIFY = Step("identify", inner=(Step("ask_number"), Step("check_pin", share=0.8, fails=0.12)))
CARDS = (IDENTIFY, Step("card_menu", weight=0.5), Step("balance", share=0.6), Step("block_card", share=0.15, weight=2))
LOANS = (IDENTIFY, Step("rates", share=0.7), Step("repayment", share=0.4, weight=2, inner=(Step("amount"), Step("confirm"))))
TICKETS = (
    Step("language", weight=0.3, fails=0.01),
    Step("book", share=0.7, weight=3, inner=(Step("route"), Step("seat", share=0.8), Step("pay", fails=0.2))),
    Step("timetable", share=0.4),
)
LOST = (Step("describe", weight=2, fails=0.15), Step("leave_number"))
APPOINTMENTS = (Step("patient_number", fails=0.1), Step("choose_day", weight=2), Step("confirm", share=0.8, fails=0.02))
REMINDER = (Step("greet", weight=0.5, fails=0.3), Step("remind"), Step("confirm", share=0.6))
SURVEY = (Step("question_1"), Step("question_2", share=0.8), Step("question_3", share=0.6))

BANK = Tenant((ROOT, 101), "Environment/Harbour Bank")
CARD_UNIT = Tenant((ROOT, 101, 111), "Environment/Harbour Bank/Cards")
LOAN_UNIT = Tenant((ROOT, 101, 112), "Environment/Harbour Bank/Loans")
RAIL = Tenant((ROOT, 102), "Environment/Valley Rail")
TICKET_UNIT = Tenant((ROOT, 102, 121), "Environment/Valley Rail/Tickets")
CLINIC = Tenant((ROOT, 103), "Environment/City Clinic")
WARD = Tenant((ROOT, 103, 131, 1311), "Environment/City Clinic/Outpatients/Eyes")

PROFILES = (
    Profile(1001, "Card Services", CARD_UNIT, ("8005550101", "8005550102"), CARDS, 5, bridged=0.15),
    Profile(1002, "Loan Desk", LOAN_UNIT, ("8005550111",), LOANS, 2, bridged=0.3),
    Profile(1003, "Bank Survey", BANK, ("8005550120",), SURVEY, 0.6, outbound=1.0, ccxml=True),
    Profile(1011, "Ticket Sales", TICKET_UNIT, ("8005550201", "8005550202", "8005550203"), TICKETS, 6, bridged=0.1),
    Profile(1012, "Lost Property", RAIL, ("8005550210",), LOST, 0.8),
    Profile(1021, "Appointments", CLINIC, ("8005550301",), APPOINTMENTS, 2, bridged=0.05),
    Profile(1022, "Reminder", WARD, ("8005550310",), REMINDER, 1.2, outbound=0.9, ccxml=True),
)


def limits(rate: float) -> dict[int, Limits]:
    """The limits of every tenant, such that at `rate` calls a second bursts are common and rejections rare."""
    total = sum(profile.weight for profile in PROFILES)
    expected: dict[int, float] = {}
    for profile in PROFILES:
        for tenant in profile.tenant.path:
            expected[tenant] = expected.get(tenant, 0.0) + rate * MEAN_S * profile.weight / total
    return {tenant: _limits(n) for tenant, n in expected.items()}


def _limits(expected: float) -> Limits:
    spread = math.sqrt(expected)  # of a Poisson number
    return Limits(math.ceil(expected + 0.5 * spread), math.ceil(expected + 1.5 * spread) + 1, math.ceil(expected + 3 * spread) + 2)
