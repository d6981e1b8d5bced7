"""Questions that make the reports send every kind of statement they have, with every filter."""

from __future__ import annotations

FIGURES = ("/ems-rs/bins", "/ems-rs/operations/arrivals/RM", "/ems-rs/operations/peaks/MCP")
SUMMARIES = ("/ems-rs/HIST/call-completion-summary", "/ems-rs/HIST/ivr-action-summary")
DAY = "granularity=DAY&from=2026-11-17T00:00:00"
MINUTES = "granularity=FIVE_MINUTES&from=2026-11-18T15:00:00&to=2026-11-18T17:00:00"

CALLS = (
    "/ems-rs/calls",
    "/ems-rs/calls?page-size=7&page=3",
    "/ems-rs/calls?page-size=1000&page=2",
    "/ems-rs/calls?number=%2B1555*",
    "/ems-rs/calls?number=%2B1555",
    "/ems-rs/calls?number=8005550123",
    "/ems-rs/calls?number=8005550123%20",
    "/ems-rs/calls?number=8005550123*&dn=800*&dn=300-999",
    "/ems-rs/calls?dn=8005550124-8005550199&dn=3005550100",
    "/ems-rs/calls?number=100%25*",
    "/ems-rs/calls?number=_[]%5C*",
    "/ems-rs/calls?number=%C3%9C%F0%9F%99%82*",
    "/ems-rs/calls?number=" + "9" * 5_000 + "*",
    "/ems-rs/calls?number=" + "9" * 9_000,
    "/ems-rs/calls?guid=A*",
    "/ems-rs/calls?guid=00000000-0000-0000-0000-000000000000",
    "/ems-rs/calls?tenant-id=102&tenant-id=103&page-size=20",
    "/ems-rs/calls?tenant-id=110&own=true",
    "/ems-rs/calls?app-id=310&result=SUCCESS&result=FAILED&end-state=USER_END&call-type=INBOUND&state=finished",
    "/ems-rs/calls?state=in-progress",
    "/ems-rs/calls?started-from=2026-11-18T15:00:00.123&started-to=2026-11-18T16:00:00.5",
    "/ems-rs/calls?started-from=0001-01-01T00:00:00&started-to=9999-12-31T23:59:59.999",
)
DETAILS = tuple(
    path
    for comp in ("RM", "MCP", "CCP")
    for path in (
        f"/ems-rs/RT/CDRs/{comp}/details?page-size=3",
        f"/ems-rs/HIST/CDRs/{comp}/details?page-size=40",
        f"/ems-rs/HIST/CDRs/{comp}/details?tenant-id=103&page-size=9&page=2",
        f"/ems-rs/HIST/CDRs/{comp}/details?app-id=311&comp-id=301&remote-uri=sip:%2B1555*&local-uri=sip:x&ended-from=2026-11-18T12:00:00",
        f"/ems-rs/HIST/CDRs/{comp}/details?dn=800*&ended-to=2026-11-18T16:00:00",
    )
)
BINS = (
    *(f"{path}?{span}" for path in (*FIGURES, *SUMMARIES) for span in (DAY, MINUTES, f"{MINUTES}&page-size=5&page=2")),
    *(f"{path}?{MINUTES}&{asked}" for path in (*FIGURES[1:], *SUMMARIES) for asked in ("tenant-id=102&tenant-id=103", "app-id=310")),
    f"{FIGURES[1]}?{DAY}&dn=8005550120-8005550130&dn=300*",
    f"{FIGURES[1]}?{DAY}&comp-id=201",
    *(f"/ems-rs/bins?{DAY}&comp=MCP&dimension={dimension}" for dimension in ("component", "tenant", "tenant-own", "app", "dn")),
    f"/ems-rs/bins?{DAY}&dimension=dn&value=8005550123&value=800555012%C2%B3&value=3005550100%20",
)
USAGE = (
    "/ems-rs/RT/tenants/usage",
    "/ems-rs/RT/tenants/usage?own=true&comp=MCP&tenant-id=110",
    "/ems-rs/RT/components/usage",
    "/ems-rs/RT/components/usage?comp=MCP&comp-id=301",
    "/ems-rs/freshness",
    "/health/ready",
)
VAR = "/ems-rs/HIST/CDRs/MCP/VAR"
QUALITY = ("/ems-rs/sqa/servicequality", "/ems-rs/sqa/latency/details", "/ems-rs/sqa/latency/histogram")
RECORDS = (
    *(f"/ems-rs/{tree}/CDRs/{comp}/summary" for tree in ("RT", "HIST") for comp in ("RM", "MCP")),
    "/ems-rs/HIST/CDRs/RM/summary?dn=800*&ended-from=2026-11-18T12:00:00&remote-uri=sip:%2B1555*",
    "/ems-rs/HIST/CDRs/MCP/events?gvp-guid=00000000-0000-0000-0000-000000000000",
    "/ems-rs/HIST/CDRs/MCP/events?comp-id=301&session-id=S&page-size=3&page=2",
    *(f"{path}?page-size=60" for path in (VAR, f"{VAR}/details")),
    *(f"{path}?tenant-id=102&comp-id=301&started-from=2026-11-18T12:00:00&page-size=7&page=2" for path in (VAR, f"{VAR}/details")),
    "/ems-rs/sqa/failures",
    "/ems-rs/sqa/failures?page-size=2",
    "/ems-rs/sqa/failures?from=2026-11-18T12:00:00&to=2026-11-18T18:00:00&tenant-id=102&comp-id=301&session-id=S&session-id=T",
    "/ems-rs/sqa/failures?app-id=310&page-size=1&page=2",
    *(f"{path}?{DAY}&{asked}" for path in QUALITY for asked in ("", "comp-id=301", "app-id=310&app-id=311", "tenant-id=102")),
    *(
        f"{path}?{DAY}&comp-id=301&comp-id=302&{asked}"
        for path in QUALITY
        for asked in ("app-id=310", "tenant-id=102", "tenant-id=110&own=true")
    ),
    f"{QUALITY[1]}?{DAY}&aggregate-by=time&aggregate-by=component",
    "/ems-rs/sqa/latency/summary",
    "/ems-rs/sqa/latency/summary?comp-id=301",
    *(f"{path}?{DAY}&sma-period=3&tenant-id=102&tenant-id=103" for path in FIGURES[1:]),
    f"{FIGURES[1]}?{DAY}&sma-period=2&dn=800*",
    "/ems-rs/tenants",
    "/ems-rs/applications?app-id=310",
    "/ems-rs/components",
    "/ems-rs/RT/applications/usage",
    "/ems-rs/RT/applications/usage?comp=MCP&app-id=310",
    "/ems-rs/calls?format=xml&page-size=5",
    f"{FIGURES[1]}?{DAY}&tenant-id=102&format=csv",
)
PAGES = (
    "/",
    "/now/live?hours=24&comp=MCP",
    "/freshness",
    "/calls",
    "/calls?tenant-id=102&state=finished",
    "/bins",
    "/bins?dimension=tenant&granularity=DAY",
    "/bins?dimension=dn&granularity=MONTH&comp=RM",
    "/bins?dimension=app&value=310&value=320&granularity=THIRTY_MINUTES&measure=peak&sma-period=3",
    "/quality?dimension=tenant&granularity=DAY",
)
ALL = (*CALLS, *DETAILS, *BINS, *USAGE, *RECORDS, *PAGES)
