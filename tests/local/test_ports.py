import os
import socket
from pathlib import Path

import pytest

from pipeline.local.ports import Port, faults, free_port, user_of


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_a_busy_port_is_named_with_its_setting_and_its_user() -> None:
    with listening() as server:
        number = server.getsockname()[1]
        (line,) = faults([Port("Kafka", "127.0.0.1", number, "RS_KAFKA__BOOTSTRAP")])
    assert f"Kafka cannot have port {number}" in line
    assert "RS_KAFKA__BOOTSTRAP" in line
    assert f"(process {os.getpid()}) has it" in line


def test_free_ports_have_no_fault_and_no_user() -> None:
    number = free_port()
    assert faults([Port("reports", "127.0.0.1", number, "RS_REPORTS__PORT")]) == []
    assert user_of(number) is None


def test_a_free_port_is_none_that_a_client_may_be_given() -> None:
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not given.exists():
        pytest.skip("NOT TESTED: only Linux tells which ports it gives to connections")
    least, most = map(int, given.read_text().split())
    assert not any(least <= free_port(udp=udp) <= most for udp in [False, True] * 20)


def test_a_port_in_time_wait_is_free() -> None:
    with listening() as server:
        number = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", number)):
            answering, _ = server.accept()
            answering.close()  # the server's side closes first and lingers
    assert faults([Port("reports", "127.0.0.1", number, "RS_REPORTS__PORT")]) == []


def test_two_parts_that_want_one_port_are_told() -> None:
    number = free_port()
    (line,) = faults([Port("Kafka", "127.0.0.1", number, "A"), Port("ActiveMQ", "127.0.0.1", number, "B")])
    assert line == f"ActiveMQ and Kafka both want port {number}: change B"


def test_an_address_that_is_not_this_machine_s_is_told() -> None:
    (line,) = faults([Port("reports", "192.0.2.1", free_port(), "RS_REPORTS__PORT")])
    assert "192.0.2.1" in line
