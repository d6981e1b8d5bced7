"""What is taken of a Config Server's content, and what is refused."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st

from pipeline import settings
from pipeline.configserver.accepting import Accepted, accept
from pipeline.configserver.held import Held
from pipeline.configserver.objects import Tenant
from pipeline.settings import Settings


@pytest.fixture
def base() -> Settings:
    return settings.read(snmp={"lag_limit": "77", "quality_calls": "5"}, activemq={"password": "s3cret"})


def options(**given: str) -> Held:
    return Held(options={name.replace("__", "."): value for name, value in given.items()})


def test_the_config_server_wins_over_file_and_environment_and_leaves_the_rest(base: Settings) -> None:
    accepted = accept(base, options(snmp__lag_limit="5", log__level="debug"))
    assert (accepted.settings.snmp.lag_limit, accepted.settings.snmp.quality_calls) == (5, 5)
    assert accepted.settings.log.level == "debug"
    assert accepted.settings.activemq == base.activemq
    assert not accepted.refused


def test_what_it_gives_is_not_handed_to_children_by_the_environment(base: Settings) -> None:
    accepted = accept(base, options(snmp__lag_limit="5", log__level="debug"))
    assert accepted.settings.environment() == base.environment()
    assert accepted.settings.environment()["RS_SNMP__LAG_LIMIT"] == "77"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("activemq.queues", '["a", "b"]', ("a", "b")),
        ("snmp.usage_limits", '{"101": 3}', {101: 3}),
        ("retention.cdr", "2.5", 2.5),
        ("reports.time_zone", "Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_a_text_becomes_a_value_of_its_type(base: Settings, name: str, text: str, value: object) -> None:
    assert accept(base, Held(options={name: text})).settings.get(name) == value


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (
            "snmp.lag_limit",
            "lots",
            "setting snmp.lag_limit is 'lots': Input should be a valid integer, unable to parse string as an integer",
        ),
        ("snmp.lag_limit", "0", "setting snmp.lag_limit is '0': Input should be greater than or equal to 1"),
        ("snmp.usage_limits", "101=3", "setting snmp.usage_limits is '101=3': write it as JSON, such as {}"),
        ("log.levle", "x", "setting log.levle does not exist, log.level does: correct its name or remove it"),
        ("nonsense", "x", "setting nonsense does not exist: correct its name or remove it"),
        (
            "activemq.password",
            "hush",
            "setting activemq.password is or holds a secret, and the Config Server keeps none: remove it there and set it in the settings "
            "file or by RS_ACTIVEMQ__PASSWORD",
        ),
        (
            "sinks.database",
            "odbc:Driver=x;Pwd=hush;",
            "setting sinks.database is or holds a secret, and the Config Server keeps none: remove it there and set it in the settings "
            "file or by RS_SINKS__DATABASE",
        ),
        (
            "config.server",
            "etcd://x:1",
            "setting config.server belongs to one process or machine, and the Config Server is for all: remove it there and set it in the "
            "settings file or by RS_CONFIG__SERVER",
        ),
    ],
)
def test_a_wrong_option_is_refused_with_one_line_and_the_last_right_one_stays(base: Settings, name: str, text: str, line: str) -> None:
    fresh = accept(base, Held(options={name: text}))
    assert fresh.refused == {name: line}
    assert fresh.settings == base
    assert "hush" not in str(fresh.held)
    before = accept(base, options(snmp__lag_limit="5", log__level="debug"))
    after = accept(base, Held(options={"log.level": "debug", "snmp.lag_limit": "5", name: text}), before)
    assert after.settings == before.settings
    assert after.refused == {name: line}


def test_every_secret_and_every_local_setting_is_refused(base: Settings) -> None:
    kept_away = [name for name, option in settings.options().items() if option.holding in ("secret", "local")]
    assert {"config.password", "sinks.password", "snmp.community", "stack.data", "health.agents_port"} <= set(kept_away)
    accepted = accept(base, Held(options=dict.fromkeys(kept_away, "1")))
    assert set(accepted.refused) == set(kept_away)
    assert accepted.settings == base


def test_an_option_that_is_taken_away_falls_back_to_the_layers_below(base: Settings) -> None:
    before = accept(base, options(snmp__lag_limit="5"))
    assert accept(base, Held(), before).settings.snmp.lag_limit == 77


def test_options_that_cannot_be_read_stay_as_they_were(base: Settings) -> None:
    before = accept(base, options(snmp__lag_limit="5"))
    after = accept(base, Held(unreadable={"options": "no TOML"}), before)
    assert after.settings.snmp.lag_limit == 5
    assert after.refused == {"options": "no TOML"}


def objects(**kinds: dict[int, object]) -> Held:
    return Held(objects={kind: {str(dbid): json.dumps(one) for dbid, one in ones.items()} for kind, ones in kinds.items()})


TREE = {1: {"name": "Environment"}, 101: {"name": "Acme", "parent": 1}, 111: {"name": "Support", "parent": 101}}


def test_names_are_those_along_the_path(base: Settings) -> None:
    found = accept(
        base, objects(tenants=TREE, profiles={7: {"name": "Desk", "tenant": 111}}, components={201: {"name": "RM", "type": "RM"}})
    ).objects
    assert [found.tenant_name(dbid) for dbid in (1, 111, 5)] == ["Environment", "Environment/Acme/Support", None]
    assert (found.profile_name(7), found.profile_name(8)) == ("Desk", None)
    assert (found.component_name(201), found.component_name(1)) == ("RM", None)


@pytest.mark.parametrize(
    ("dbid", "one", "said"),
    [
        ("5", '{"name": ""}', "tenants 5 is .*length >= 1"),
        ("5", '{"nmae": "x"}', "tenants 5 is .*"),
        ("5", '{"name": 5}', "tenants 5 is .*Expected `str`"),
        ("5", "Acme", "tenants 5 is Acme: .*"),
        ("x", '{"name": "x"}', "tenants x: a DBID is a number"),
        ("0", '{"name": "x"}', "tenants 0: a DBID is a number"),
        ("5", '{"name": "x", "parent": 9}', "tenants 5: there is no tenant 9 above it"),
        ("5", '{"name": "x", "parent": 5}', "tenants 5: its parents lead in a circle"),
    ],
)
def test_a_wrong_object_is_refused_and_the_others_are_taken(base: Settings, dbid: str, one: str, said: str) -> None:
    held = objects(tenants=TREE)
    held.objects["tenants"][dbid] = one  # type: ignore[index]
    accepted = accept(base, held)
    (line,) = accepted.refused.values()
    assert re.match(said, line), line
    assert set(accepted.objects.tenants) == set(TREE)


def test_an_object_that_turns_wrong_stays_as_it_was(base: Settings) -> None:
    before = accept(base, objects(tenants=TREE))
    after = accept(base, objects(tenants={**TREE, 111: {"name": 5}}), before)
    assert after.objects.tenants[111] == Tenant("Support", 101)
    assert list(after.refused) == ["tenants 111"]


names = st.sampled_from([*settings.options(), "log.levle", "x", "a.b"])
texts = st.one_of(st.text(max_size=8), st.integers(-5, 100_000).map(str), st.sampled_from(["debug", "{}", "[]", '{"1": 2}', "1e3", "nan"]))


@runs(deadline=None)
@given(st.lists(st.dictionaries(names, texts, max_size=6), max_size=4))
def test_whatever_an_operator_writes_nothing_fails_and_what_is_taken_is_right(contents: list[dict[str, str]]) -> None:
    base = settings.read()
    last: Accepted | None = None
    for content in contents:
        last = accept(base, Held(options=content), last)
        assert set(content) <= set(last.held.options) | set(last.refused)
        again = accept(base, last.held)
        assert (again.settings, again.refused) == (last.settings, {})
