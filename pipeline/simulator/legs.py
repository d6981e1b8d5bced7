"""What one call does: the events of each of its sessions, from the first to the last, planned when it arrives."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypedDict

from pipeline.messages.types import (
    ActionEnd,
    ActionStart,
    CallEnd,
    CallResult,
    CallStart,
    CallType,
    Cause,
    ComponentType,
    CustomVariable,
    EndState,
    Event,
    Failure,
    Latency,
    LatencyCategory,
    LogEvent,
    Result,
)
from pipeline.simulator.world import CCP, LONGEST_S, MCPS, MEDIAN_S, RMS, ROOT, ROOT_NAME, SIGMA, Profile, Step

GIVES_UP = 0.22  # callers who hang up before the dialog is through
BREAKS = 0.006  # calls that end with a system error
SHORTEST_S = 1.5

Sample = tuple[LatencyCategory, str, float]
CODECS = ("PCMU", "PCMA", "G729", "OPUS")
FAULTS: tuple[Cause, ...] = ("FIRST_PROMPT_LATENCY", "INTER_PROMPT_LATENCY", "AUDIO_GAP", "APPLICATION")


class Envelope(TypedDict):
    v: Literal[1]
    comp: ComponentType
    comp_id: int
    session: str
    guid: str
    ts: int
    seq: int


@dataclass(slots=True)
class Leg:
    """One session: its events in seq order, their times never going back. `done`: how many have happened."""

    comp: ComponentType
    comp_id: int
    session: str
    guid: str
    events: list[Event] = field(default_factory=list)
    done: int = 0
    now: int = 0

    def at(self, ts: float) -> Envelope:
        """The envelope of the next event; `ts` in ms."""
        self.now = max(self.now, int(ts))
        return {
            "v": 1, "comp": self.comp, "comp_id": self.comp_id, "session": self.session,
            "guid": self.guid, "ts": self.now, "seq": len(self.events),
        }  # fmt: skip

    def log(self, ts: float, log_id: str, *values: object) -> None:
        self.events.append(LogEvent(**self.at(ts), log_id=log_id, level="METRIC", text="|".join(map(str, values))))


@dataclass(frozen=True, slots=True)
class Caller:
    """The draw of one call, before its sessions are planned. Times in ms."""

    guid: str
    profile: Profile
    dn: str
    call_type: CallType
    remote_uri: str
    start: int
    talk: int
    gives_up: bool
    breaks: bool


Counts = tuple[tuple[int, int], ...]  # (tenant, n) for each tenant of the path


def draw(rng: Random, profile: Profile, start: int) -> Caller:
    outbound = rng.random() < profile.outbound
    return Caller(
        guid=guid(rng),
        profile=profile,
        dn=rng.choice(profile.dns),
        call_type="OUTBOUND" if outbound else "INBOUND",
        remote_uri=f"sip:+1555{rng.randrange(10_000_000):07d}@gw{rng.randint(1, 3)}",
        start=start,
        talk=round(min(max(rng.lognormvariate(0, SIGMA) * MEDIAN_S, SHORTEST_S), LONGEST_S) * 1000),
        gives_up=rng.random() < GIVES_UP,
        breaks=rng.random() < BREAKS,
    )


def plan(rng: Random, caller: Caller, usage: Counts, burst: Counts) -> list[Leg]:
    """The sessions of an accepted call, RM first."""
    media_start = caller.start + rng.randint(40, 220)
    mcp, media_end, end_state = _media(rng, caller, media_start)
    legs = [mcp]
    end = media_end
    if end_state == "APPLICATION_END" and rng.random() < caller.profile.bridged:
        bridged = _bridged(rng, caller, mcp.comp_id, media_end)
        legs.append(bridged)
        end = bridged.now
    if caller.profile.ccxml:
        legs.append(_ccxml(rng, caller, end + rng.randint(5, 30)))
    rm = _resource_manager(rng, caller, usage, burst)
    rm.events.append(CallEnd(**rm.at(max(leg.now for leg in legs) + rng.randint(10, 80)), end_state=end_state, sip_status=200))
    return [rm, *legs]


def rejected(rng: Random, caller: Caller, why: str, sip_status: int) -> list[Leg]:
    """The one session of a call that finds no place; it was never in progress, so it has neither usage nor burst."""
    rm = _resource_manager(rng, caller, None, None)
    rm.events.append(CallEnd(**rm.at(caller.start + rng.randint(2, 30)), end_state="REJECTED", reason=why, sip_status=sip_status))
    return [rm]


def unknown_number(rng: Random, start: int) -> list[Leg]:
    """A call to a number that belongs to no tenant."""
    rm = Leg("RM", rng.choice(RMS), f"{rng.getrandbits(32):08X}", guid(rng))
    dn = f"80055509{rng.randrange(100):02d}"
    remote_uri, local_uri = f"sip:+1555{rng.randrange(10_000_000):07d}@gw1", f"sip:{dn}@rm"
    rm.events.append(
        CallStart(
            **rm.at(start),
            tenant_path=(ROOT,),
            tenant_name=ROOT_NAME,
            dn=dn,
            call_type="INBOUND",
            remote_uri=remote_uri,
            local_uri=local_uri,
        )
    )
    rm.events.append(
        CallEnd(**rm.at(start + rng.randint(2, 30)), end_state="REJECTED", reason="no IVR profile for this number", sip_status=404)
    )
    return [rm]


def guid(rng: Random) -> str:
    digits = f"{rng.getrandbits(128):032X}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _resource_manager(rng: Random, caller: Caller, usage: Counts | None, burst: Counts | None) -> Leg:
    profile = caller.profile
    rm = Leg("RM", rng.choice(RMS), f"{rng.getrandbits(32):08X}", caller.guid)
    rm.events.append(
        CallStart(
            **rm.at(caller.start),
            tenant_path=profile.tenant.path,
            tenant_name=profile.tenant.name,
            app=profile.app,
            app_name=profile.name,
            dn=caller.dn,
            call_type=caller.call_type,
            remote_uri=caller.remote_uri,
            local_uri=f"sip:{caller.dn}@rm",
            usage=usage,
            burst=burst,
        )
    )
    return rm


def _media(rng: Random, caller: Caller, start: int) -> tuple[Leg, int, EndState]:
    """The MCP session, its end and its end state."""
    profile = caller.profile
    mcp = Leg("MCP", rng.choice(MCPS), _two_groups(rng), caller.guid)
    local_uri = f"sip:dialog@mcp{mcp.comp_id}"
    mcp.events.append(
        CallStart(
            **mcp.at(start), tenant_path=profile.tenant.path, tenant_name=profile.tenant.name, app=profile.app, app_name=profile.name,
            call_type=caller.call_type, remote_uri=caller.remote_uri, local_uri=local_uri,
        )
    )  # fmt: skip
    direction = "incall" if caller.call_type == "INBOUND" else "outcall"
    mcp.log(start + 2, f"{direction}_initiated", profile.app, caller.remote_uri, local_uri)
    mcp.log(start + rng.randint(5, 40), f"{direction}_begin", profile.app, caller.remote_uri, local_uri)
    first = mcp.now + rng.randint(60, 300)
    fetch = round(rng.lognormvariate(3.6, 0.6), 1)
    samples: tuple[Sample, ...] = (("RESPONSE", "first_prompt", float(first - start)), ("FETCHING", "initial_page", fetch))
    mcp.events.append(Latency(**mcp.at(first), samples=samples))
    mcp.log(first, "appl_begin", profile.app)
    if rng.random() < 0.5:
        mcp.events.append(CustomVariable(**mcp.at(first), name="language", value=rng.choice(("en", "en", "es", "fr"))))
    dialog_ms = caller.talk * (rng.random() if caller.gives_up or caller.breaks else 1.0)
    results = _dialog(rng, mcp, profile.dialog, float(first), first + caller.talk, first + dialog_ms)
    end_state: EndState = "SYSTEM_ERROR" if caller.breaks else "USER_END" if caller.gives_up else "APPLICATION_END"
    _close(rng, mcp, results, first + dialog_ms, end_state)
    return mcp, mcp.now, end_state


def _dialog(
    rng: Random, mcp: Leg, steps: tuple[Step, ...], start: float, planned_end: float, cut: float, parent: str | None = None
) -> list[Result]:
    """Append the actions between `start` and `planned_end` in time, as far as they come before `cut`. Gives the results."""
    taken = [step for step in steps if rng.random() < step.share]
    weights = [step.weight * rng.uniform(0.6, 1.4) for step in taken]
    results: list[Result] = []
    at = start
    for step, weight in zip(taken, weights, strict=True):
        if at >= cut:
            break
        end = at + (planned_end - start) * weight / sum(weights)
        mcp.events.append(ActionStart(**mcp.at(at), action=step.action, parent=parent))
        if step.inner:
            _dialog(rng, mcp, step.inner, at + 5, end - 5, cut, step.action)
        if end > cut:
            break  # the caller has gone: the action stays open
        results.append(_end_of(rng, mcp, step, end))
        at = end
    return results


def _end_of(rng: Random, mcp: Leg, step: Step, end: float) -> Result:
    result: Result = "FAILED" if rng.random() < step.fails else "SUCCESS"
    if rng.random() < 0.5:
        samples: tuple[Sample, ...] = (
            ("PROMPT", "play", round(rng.lognormvariate(3.0, 0.5), 1)),
            ("MRCP", "recognize", round(rng.lognormvariate(4.8, 0.5), 1)),
            ("EXECUTION", "page", round(rng.lognormvariate(2.0, 0.7), 2)),
        )
        mcp.events.append(Latency(**mcp.at(end), samples=samples))
    reason = "no match" if result == "FAILED" else None
    mcp.events.append(ActionEnd(**mcp.at(end), action=step.action, result=result, reason=reason))
    return result


def _close(rng: Random, mcp: Leg, results: list[Result], end: float, end_state: EndState) -> None:
    if end_state == "SYSTEM_ERROR":
        mcp.events.append(Failure(**mcp.at(end), cause="SYSTEM_ERROR", detail="page could not be fetched"))
    elif rng.random() < 0.01:
        mcp.events.append(Failure(**mcp.at(end), cause=rng.choice(FAULTS)))
    if end_state == "APPLICATION_END":
        mcp.events.append(CallResult(**mcp.at(end), result="FAILED" if "FAILED" in results else "SUCCESS"))
    mcp.log(end + 3, "appl_end", mcp.comp_id, end_state)
    loss = min(rng.expovariate(2.0), 20.0)
    mcp.events.append(
        CallEnd(
            **mcp.at(end + rng.randint(5, 60)),
            end_state=end_state,
            mos=round(max(1.0, 4.4 - 0.15 * loss - rng.random() * 0.2), 2),
            jitter_ms=round(rng.expovariate(0.25), 1),
            loss_pct=round(loss, 2),
            codec=rng.choice(CODECS),
        )
    )


def _bridged(rng: Random, caller: Caller, comp_id: int, start: int) -> Leg:
    """The caller is joined to an agent on the same MCP."""
    profile = caller.profile
    leg = Leg("MCP", comp_id, _two_groups(rng), caller.guid)
    agent_uri = f"sip:{rng.randint(7000, 7099)}@agents"
    leg.events.append(
        CallStart(**leg.at(start + 20), tenant_path=profile.tenant.path, app=profile.app, call_type="BRIDGED", remote_uri=agent_uri)
    )
    leg.log(start + 25, "bridge_begin", profile.app, caller.remote_uri, agent_uri)
    talk_ms = min(rng.lognormvariate(0, SIGMA) * MEDIAN_S, LONGEST_S) * 1000
    leg.events.append(CallEnd(**leg.at(start + 20 + talk_ms), end_state="USER_END", codec="PCMU"))
    return leg


def _ccxml(rng: Random, caller: Caller, end: int) -> Leg:
    """The CCXML session that placed or took the call."""
    profile = caller.profile
    ccp = Leg("CCP", CCP, f"{caller.guid}-{rng.getrandbits(32):08X}", caller.guid)
    call_type: CallType = "CREATECCXML" if caller.call_type == "OUTBOUND" else "NEWCALL"
    ccp.events.append(
        CallStart(
            **ccp.at(caller.start + 8),
            tenant_path=profile.tenant.path,
            app=profile.app,
            app_name=profile.name,
            call_type=call_type,
            origin=caller.dn,
        )
    )
    ccp.log(caller.start + 9, "new_session", profile.app)
    ccp.log(caller.start + 15, "page_start", f"{profile.name.lower().replace(' ', '-')}.ccxml")
    ccp.events.append(CallEnd(**ccp.at(end), end_state="APPLICATION_END"))
    return ccp


def _two_groups(rng: Random) -> str:
    return f"{rng.getrandbits(32):08X}-{rng.getrandbits(32):08X}"
