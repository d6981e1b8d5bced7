"""The shape of every answer: names of XML elements and attributes are the vendor's where they are known, else those of the parameters."""

from __future__ import annotations

from agents.figures import EDGES
from reports.parameters import CALL_TYPES, END_STATES, RESULTS
from reports.render.shape import Field, Many, Part, Service, Shape, shape

ALL_RESULTS = (*RESULTS, "REJECTED")
CAUSES = (
    "START_FAILED",
    "SYSTEM_ERROR",
    "FIRST_PROMPT_LATENCY",
    "INTER_PROMPT_LATENCY",
    "CUMULATIVE_LATENCY",
    "AUDIO_GAP",
    "APPLICATION",
    "OTHER",
)


def whole(key: str, name: str = "") -> Field:
    return Field(key, "integer", name)


def figure(key: str) -> Field:
    return Field(key, "number")


def ts(key: str, name: str = "") -> Field:
    return Field(key, "instant", name)


COUNTED = shape(Field("type", required=True), Field("count", "integer", required=True))
BY_TYPE = Many("calls", COUNTED, labels=CALL_TYPES)
BY_RESULT = Many("results", COUNTED, name="call-result", labels=ALL_RESULTS)
BY_END_STATE = Many("end-states", COUNTED, name="end-state", labels=END_STATES)
N = Field("count", "integer", required=True)

PARTY = shape(
    whole("tenant_id"), Field("tenant_path", "integers"), Field("tenant_name"), whole("app_id"), Field("app_name"), Field("dn"),
    Field("call_type", required=True), Field("remote_uri"), Field("local_uri"),
)  # fmt: skip
CALL = (
    shape(
        Field("guid", name="gvp-guid", required=True), whole("partition"), ts("start"), ts("end"), whole("duration_ms"),
        Field("in_progress", "flag"),
    )
    + PARTY
    + shape(Field("end_state"), Field("result", name="call-result"), whole("sessions"))
)  # fmt: skip
CDR = (
    shape(
        Field("guid", name="gvp-guid", required=True), Field("comp", required=True), Field("comp_id", "integer", required=True),
        Field("session", name="session-id", required=True), whole("partition"), ts("start"), ts("end"), whole("duration_ms"),
        Field("ended", "flag"), Field("clock_skew", "flag"),
    )
    + PARTY
    + shape(
        Field("origin", name="session-start-origin"), Field("end_state"), Field("reason"), whole("sip_status"), figure("mos"),
        figure("jitter_ms"), figure("loss_pct"), Field("codec"), Field("result", name="call-result"),
        whole("duplicates"), whole("conflicts"),
        Many("usage", shape(whole("tenant-id"), whole("count")), name="usage-tenant", pair=("tenant-id", "count")),
        Many("burst", shape(whole("tenant-id"), whole("level")), name="burst-tenant", pair=("tenant-id", "level")),
    )
)  # fmt: skip
EVENT = shape(
    ts("timestamp"), Field("level"), Field("log-id", required=True), Field("session-id", required=True),
    Field("comp-id", "integer", required=True), Field("gvp-guid"), whole("seq"), Field("text", body=True),
)  # fmt: skip
SUMMARY = shape(N, BY_TYPE, BY_END_STATE, BY_RESULT)
VAR = shape(
    Field("gvp-guid", required=True), Field("comp-id", "integer", required=True), Field("session-id", required=True), ts("start"),
    ts("end"), whole("duration_ms"), whole("tenant_id"), Field("tenant_name"), whole("app_id"), Field("app_name"),
    Field("call_type", required=True), Field("remote_uri"), Field("local_uri"), Field("end_state"), Field("call-result"),
    Field("reason"), Field("notes"),
)  # fmt: skip
ACTION = shape(
    Field("action-id", required=True), Field("parent-id"), ts("start"), ts("end"), Field("result"), Field("reason"), Field("notes")
)
VAR_DETAILS = VAR + shape(
    Many("actions", ACTION, name="action"),
    Many("custom-vars", shape(Field("name", required=True), Field("value", required=True)), name="custom-var"),
)

WHOSE = shape(whole("id"), Field("name"), Field("dn"))
BIN = WHOSE + shape(ts("start"), ts("end"))
MEAN = shape(figure("moving-average"))
ARRIVALS = BIN + shape(N, BY_TYPE) + MEAN
PEAKS = BIN + shape(Field("peak", "integer", required=True), ts("time"), BY_TYPE) + MEAN
COMPLETIONS = BIN + shape(N, BY_RESULT)
RUNS = shape(Field("action", required=True), N, BY_RESULT)
ACTIONS = BIN + shape(Many("actions", RUNS, name="action"), Many("last-actions", RUNS, name="last-action"))
SPREAD = shape(whole("n"), whole("sum"), figure("avg"), figure("std-dev"), whole("min"), whole("max"))
FAILURES_BY = Many("failures", COUNTED, name="failure", labels=CAUSES)
BINS = BIN + shape(
    Part("arrivals", shape(N, BY_TYPE)),
    Part("completed", shape(N, BY_END_STATE)),
    Part("in-progress", shape(N, BY_TYPE)),
    Part("peak", shape(N, ts("time"), BY_TYPE)),
    Part("duration-ms", SPREAD),
    Many("burst", shape(whole("tenant"), whole("level"), N)),
    BY_RESULT,
    Many("actions", RUNS, name="action"),
    Many("last-actions", RUNS, name="last-action"),
    Part("service-quality", shape(whole("calls"), whole("failed"), FAILURES_BY)),
    Many("latency-us", shape(Field("category"), Field("type")) + SPREAD),
)  # fmt: skip

OF_COMPONENT = Part("component", shape(whole("id"), Field("name")), required=False)
QUALITY = BIN + shape(OF_COMPONENT, whole("calls"), whole("failed-calls"), figure("success-rate"), FAILURES_BY)
FAILURE = shape(
    ts("timestamp"), Field("cause", required=True), Field("detail"), Field("gvp-guid", required=True),
    Field("comp-id", "integer", required=True), Field("session-id", required=True), whole("tenant_id"), Field("tenant_name"),
    whole("app_id"), Field("app_name"),
)  # fmt: skip
MS = shape(whole("measured"), figure("avg"), figure("min"), figure("max"), figure("std-dev"))
TYPE = shape(Field("name", required=True), figure("target"), Field("acceptable", "flag")) + MS
CATEGORY = shape(Field("name", required=True), whole("types"), whole("acceptable")) + MS
LATENCIES = BIN + shape(
    OF_COMPONENT, Many("categories", CATEGORY + shape(Many("latencies", TYPE, name="latency")), name="category", explode=True)
)
BUCKET = shape(figure("from"), figure("to"), N)
HISTOGRAM = BIN + shape(
    OF_COMPONENT,
    Many(
        "latencies",
        shape(Field("category", required=True), Field("type", required=True), whole("measured"), Many("buckets", BUCKET, name="bucket")),
        name="latency",
        explode=True,
    ),
)
OBJECT = shape(Field("href", required=True), whole("id"), Field("name"), Field("type"))
PERIOD = shape(Field("period", required=True), ts("start"), Many("categories", CATEGORY, name="category", explode=True))
LATENCY_SUMMARY = shape(Part("object", OBJECT), Many("latencies", PERIOD, explode=True))

HOW_MANY = shape(N, BY_TYPE)
USAGE = shape(
    Part("object", OBJECT),
    Part("calls", shape(
        Part("in-progress", HOW_MANY),
        Part("arrived", shape(ts("last-updated"), Part("this-hour", HOW_MANY), Part("today", HOW_MANY))),
    )),
    Part("peak", shape(whole("today"), ts("time"), ts("last-updated"), BY_TYPE)),
)  # fmt: skip
RESULT_TODAY = COUNTED + shape(ts("last-updated"))
RESULTS_TODAY = shape(N, Many("call-result", RESULT_TODAY))
VAR_STATS = Part("var-stats", shape(Part("today", RESULTS_TODAY)), required=False)
LISTED = OBJECT + shape(whole("parent"), whole("tenant"))
FRESHNESS = shape(ts("folded_to"), ts("stream"), ts("clock"))
DETAILS = shape(
    Part("call", CALL),
    Many("sessions", CDR, name="session"),
    Many(
        "messages",
        shape(
            whole("comp_id"), Field("session", name="session-id"), whole("seq"), Field("kind"), ts("ts"), ts("receipt"), Field("topic"),
            whole("partition"), whole("offset"), Field("source"), Field("message_id"),
        ),
        name="message",
        explode=True,
    ),
    Many(
        "events",
        shape(
            whole("comp_id"), Field("session", name="session-id"), whole("seq"), ts("ts", "timestamp"), Field("log_id"), Field("level"),
            Field("text", body=True),
        ),
        name="event",
    ),
)  # fmt: skip


CALLS = Service("calls", "calls", "call", "Calls", CALL)
ONE_CALL = Service("details", "call-details", "details", "Call_Details", DETAILS, single=True)
CDRS = Service("call-detail-records", "call-detail-records", "cdr", "CDR_Details", CDR)
CDR_SUMMARY = Service("summary", "cdr-summary", "summary", "CDR_Summary", SUMMARY, single=True)
EVENTS = Service("call-events", "call-events", "event", "CDR_Events", EVENT)
VARS = Service("var", "var-list", "var", "VAR", VAR)
VARS_DETAILS = Service("var", "var-details", "var", "VAR_Details", VAR_DETAILS)
ARRIVALS_IN = Service("arrivals", "arrivals-report", "arrivals", "Arrivals", ARRIVALS)
PEAKS_IN = Service("peaks", "peaks-report", "peaks", "Peaks", PEAKS)
BINS_IN = Service("bins", "bins-report", "bin", "Bins", BINS)
COMPLETED = Service("call-completion-summary", "call-completion-report", "call-completion-summary", "CallCompletionSummary", COMPLETIONS)
IVR_ACTIONS = Service("ivr-action-summary", "ivr-action-report", "ivr-action-summary", "IVRActionSummary", ACTIONS)
SERVICE_QUALITY = Service("servicequality", "servicequality-report", "servicequality", "SQAServiceQuality", QUALITY)
FAILED = Service("failures", "failures-report", "failure", "SQAFailures", FAILURE)
LATENCY_DETAILS = Service("latency", "latency-details", "latencies", "SQALatencyDetails", LATENCIES)
LATENCY_NOW = Service("latency-summary", "latency-summary", "latency", "SQALatencySummary", LATENCY_SUMMARY)
LATENCY_HISTOGRAM = Service("histogram", "latency-histogram", "histogram", "SQALatencyHistogram", HISTOGRAM)
TENANT_USAGE = Service("usage", "tenant-usage", "usage", "TenantUsageReport", USAGE + Shape((VAR_STATS,)))
APP_USAGE = Service("usage", "ivr-usage", "usage", "IVRUsageReport", USAGE + Shape((VAR_STATS,)))
COMPONENT_USAGE = Service("usage", "component-usage", "usage", "ComponentUsageReport", USAGE)
TENANTS = Service("tenants", "tenants", "tenant", "Tenants", LISTED)
APPLICATIONS = Service("applications", "applications", "application", "Applications", LISTED)
COMPONENTS = Service("components", "components", "component", "Components", LISTED)
FRESH = Service("freshness", "freshness-report", "freshness", "Freshness", FRESHNESS, single=True)

SCHEMAS: tuple[tuple[Service, str], ...] = (
    (CALLS, "/ems-rs/calls"),
    (ONE_CALL, "/ems-rs/calls/GUID"),
    (CDRS, "/ems-rs/RT|HIST/CDRs/RM|MCP|CCP/details"),
    (CDR_SUMMARY, "/ems-rs/RT|HIST/CDRs/RM|MCP|CCP/summary"),
    (EVENTS, "/ems-rs/HIST/CDRs/RM|MCP|CCP/events"),
    (VARS, "/ems-rs/HIST/CDRs/MCP/VAR"),
    (VARS_DETAILS, "/ems-rs/HIST/CDRs/MCP/VAR/details"),
    (ARRIVALS_IN, "/ems-rs/operations/arrivals/RM|MCP|CCP|CTIC|EXT"),
    (PEAKS_IN, "/ems-rs/operations/peaks/RM|MCP|CCP|CTIC|EXT"),
    (BINS_IN, "/ems-rs/bins"),
    (COMPLETED, "/ems-rs/HIST/call-completion-summary"),
    (IVR_ACTIONS, "/ems-rs/HIST/ivr-action-summary"),
    (SERVICE_QUALITY, "/ems-rs/sqa/servicequality"),
    (FAILED, "/ems-rs/sqa/failures"),
    (LATENCY_DETAILS, "/ems-rs/sqa/latency/details"),
    (LATENCY_NOW, "/ems-rs/sqa/latency/summary"),
    (LATENCY_HISTOGRAM, "/ems-rs/sqa/latency/histogram"),
    (TENANT_USAGE, "/ems-rs/RT/tenants/usage"),
    (APP_USAGE, "/ems-rs/RT/applications/usage"),
    (COMPONENT_USAGE, "/ems-rs/RT/components/usage"),
    (TENANTS, "/ems-rs/tenants"),
    (APPLICATIONS, "/ems-rs/applications"),
    (COMPONENTS, "/ems-rs/components"),
    (FRESH, "/ems-rs/freshness"),
)
LATENCY_EDGES_MS = tuple(edge / 1000 for edge in EDGES["latencies"])
