import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import logging
from pipeline import logs
log = logs.setup("bridge")
log.info("ready", port=8081)
logging.getLogger("aiokafka.consumer").info("heart-beat")
logging.getLogger("aiokafka.consumer").warning("no answer from %s", "broker 1")
try:
    secret = "caller 5550123"
    raise ValueError("bad")
except ValueError:
    log.exception("failed")
"""


def lines(**environment: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def test_json_is_one_object_a_line_for_our_own_and_for_the_libraries() -> None:
    ready, foreign, failed = [json.loads(line) for line in lines(RS_LOG__FORMAT="json").splitlines()]
    assert (ready["logger"], ready["level"], ready["event"], ready["port"]) == ("bridge", "info", "ready", 8081)
    assert (foreign["logger"], foreign["event"]) == ("aiokafka.consumer", "no answer from broker 1")
    assert "ValueError: bad" in failed["exception"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_tracebacks_show_no_values_of_variables(form: str) -> None:
    # The source line is shown; a value would be shown a second time.
    assert lines(RS_LOG__FORMAT=form).count("5550123") <= 1


def test_libraries_are_quiet_unless_debugging() -> None:
    assert "heart-beat" not in lines()
    assert "heart-beat" in lines(RS_LOG__LEVEL="debug")
    assert "ready" not in lines(RS_LOG__LEVEL="warning")


def test_no_colours_in_a_file() -> None:
    assert "\x1b[" not in lines()
