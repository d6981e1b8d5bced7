"""`rs send` and `rs simulate` against a real ActiveMQ."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import stomp
from typer.testing import CliRunner, Result

from pipeline import settings
from pipeline.cli import build
from tests.bridge.support import left_in, take_from, until
from tests.conftest import PATIENCE_S, free_port
from tests.posting.test_poster import read_queue

RS = (sys.executable, "-c", "from pipeline.cli import main; main()")


@pytest.fixture
def rs(activemq: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setenv("RS_ACTIVEMQ__PORT", str(activemq))
    settings.load.cache_clear()

    def run(*arguments: object, given: str | None = None) -> Result:
        return CliRunner().invoke(build(str(arguments[0])), list(map(str, arguments)), input=given)

    yield run
    settings.load.cache_clear()


def test_send_posts_each_line_as_it_stands(rs, activemq: int, tmp_path: Path) -> None:
    lines = ['{"kind" : "call.start"}', '[{"a":1}, {"a":2}]', "no JSON {", " x "]
    file = tmp_path / "lines.ndjson"
    file.write_text("\r\n".join([lines[0], "", lines[1], "   "]) + "\n" + lines[2] + "\n" + lines[3])
    result = rs("send", file, "--queue", "commands.send")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("4 messages posted to commands.send, all confirmed")
    assert read_queue(activemq, "commands.send", set(lines)).bodies == lines


def test_send_reads_standard_input_and_holds_the_rate(rs, activemq: int) -> None:
    began = time.monotonic()
    assert rs("send", "-", "--queue", "commands.stdin", "--rate", 10, given="a\nb\nc\nd\n").stdout.startswith("4 messages")
    assert time.monotonic() - began > 0.35
    assert read_queue(activemq, "commands.stdin", set("abcd")).bodies == list("abcd")


@pytest.mark.parametrize("queue", ["rs.>", "rs.*", "a,b"])
def test_a_queue_with_wildcard_is_refused(rs, queue: str) -> None:
    result = rs("send", "-", "--queue", queue)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "which can be read but not posted to" in result.stderr


def test_an_absent_file_or_broker_is_one_line(rs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = rs("send", tmp_path / "absent.ndjson")
    monkeypatch.setenv("RS_ACTIVEMQ__PORT", str(free_port()))
    settings.load.cache_clear()
    for result in (absent, rs("send", "-"), rs("simulate")):
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)


def sessions_in(frames: list[stomp.utils.Frame]) -> dict[tuple[str, str], list[dict[str, object]]]:
    """The events of each session."""
    sessions = defaultdict(list)
    for frame in frames:
        decoded = json.loads(frame.body)
        for event in decoded if isinstance(decoded, list) else [decoded]:
            sessions[event["guid"], event["session"]].append(event)
    return sessions


@pytest.mark.parametrize(("options", "ended"), [((), True), (("--no-end",), False)])
def test_simulate_ends_its_calls_when_told_to_stop(activemq: int, options: tuple[str, ...], ended: bool) -> None:
    queue = f"commands.simulate{len(options)}"
    environment = os.environ | {"RS_ACTIVEMQ__PORT": str(activemq)}
    command = [*RS, "simulate", "--rate", "30", "--queue", queue, *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: len(sessions_in(left_in(activemq, queue))) > 20, what="calls have begun")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    simulated, messages = output.splitlines()[-1], int(output.rpartition(" messages")[0].rpartition(" ")[2].replace(",", ""))
    assert simulated.startswith("simulated ")
    frames = take_from(activemq, queue)
    assert len(frames) == messages
    sessions = sessions_in(frames)
    assert len(sessions) > 20
    assert all([event["seq"] for event in session] == list(range(len(session))) for session in sessions.values())
    last = Counter(session[-1]["kind"] for session in sessions.values())
    assert (last["call.end"] == len(sessions)) == ended


def test_simulate_with_out_writes_a_file_and_needs_no_broker(tmp_path: Path) -> None:
    out = tmp_path / "calls.ndjson"
    command = ["simulate", "--out", out, "--calls", 20, "--start", "2026-03-02T08:00:00Z", "--seed", 7, "--double", "--shuffle"]
    result = CliRunner().invoke(build("simulate"), list(map(str, command)))
    assert result.exit_code == 0, result.output
    lines = out.read_text().splitlines()
    assert set(Counter(lines).values()) == {2}
    arrivals = sorted(event["ts"] for event in map(json.loads, set(lines)) if event["comp"] == "RM" and event["seq"] == 0)
    assert len(arrivals) == 20
    assert 1_772_438_400_000 <= arrivals[0] < 1_772_438_410_000


@pytest.mark.parametrize(
    "wrong", [("--shuffle",), ("--start", "0"), ("--out", "x.ndjson", "--start", "yesterday"), ("--out", "/no/such/folder/x")]
)
def test_faults_of_simulate_are_one_line(wrong: tuple[str, ...]) -> None:
    result = CliRunner().invoke(build("simulate"), ["simulate", *wrong])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
