"""An SNMP agent of our own, for where there is no master agent: the same tree over UDP by v2c and v3, and its traps or informs.

pysnmp speaks the protocol; the values come from our tree. Everything is read-only.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from pysnmp.carrier.asyncio.dgram import udp
from pysnmp.entity import config, engine
from pysnmp.entity.rfc3413 import cmdrsp, context, ntforg
from pysnmp.proto import rfc1902, rfc1905
from pysnmp.proto.secmod.rfc3826.priv import aes
from pysnmp.smi import error as smi_error
from pysnmp.smi.instrum import AbstractMibInstrumController

from sinks.snmp.notices import Notice, variables
from sinks.snmp.syntax import OID, Wire
from sinks.snmp.tree import Instance, Source

COMMUNITY = "manager"  # pysnmp's name for whoever knows the community
TARGETS = "targets"
INFORM_S, INFORM_RETRIES = 2.0, 5
READABLE: OID = (1, 3, 6)
SYSTEM: OID = (1, 3, 6, 1, 2, 1, 1)
UP_TIME: OID = (*SYSTEM, 3, 0)
BOOTS_SINCE = 1_577_836_800  # 2020-01-01: the number of boots has 31 bits
MOST_VARBINDS = 200  # of an answer to a bulk request

_VALUES: dict[Wire, Callable[[Any], Any]] = {
    Wire.INTEGER: rfc1902.Integer32,
    Wire.OCTETS: rfc1902.OctetString,
    Wire.OBJECT_ID: rfc1902.ObjectIdentifier,
    Wire.GAUGE: rfc1902.Gauge32,
    Wire.TICKS: rfc1902.TimeTicks,
    Wire.COUNTER64: rfc1902.Counter64,
}

log = structlog.get_logger("snmp")


class User(NamedTuple):
    """Of SNMPv3: authentication by SHA-256, privacy by AES-128. Passwords of 8 characters or more."""

    name: str
    auth_password: str
    priv_password: str


class Address(NamedTuple):
    host: str
    port: int


class PortTaken(OSError):
    """The address cannot be bound; the message says what to do."""


class NoPrivacy(OSError):
    """SNMPv3 cannot encrypt; the message says what to do."""


class Agent:
    """Serves on `address` between start() and stop(). An empty community: no v2c; no user: no v3.

    targets     where notifications go
    informs     they are confirmed, and repeated until they are
    by_v3       notifications go by the user's v3 instead of v2c
    """

    def __init__(
        self,
        source: Source,
        address: Address,
        *,
        community: str = "",
        user: User | None = None,
        targets: Sequence[Address] = (),
        informs: bool = False,
        by_v3: bool = False,
        description: str = "Reporting Server",
    ) -> None:
        self.source, self.address = source, address
        self.community, self.user = community, user
        self.targets, self.informs, self.by_v3 = tuple(targets), informs, by_v3
        self.unconfirmed = 0
        self.unreadable = 0
        self.trouble: str | None = "not started yet"
        self._description = description
        self._begun = time.monotonic()
        self._engine: Any = None
        self._originator: Any = None

    def start(self) -> None:
        """In the running loop. Raises PortTaken, NoPrivacy, and OSError for a target whose name is not known."""
        if self.user is not None and aes.PysnmpCryptoError:  # every request by v3 would be answered by a decryption error
            raise NoPrivacy("SNMPv3 cannot encrypt: install the package cryptography (44 or newer), or leave setting snmp.user empty")
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.bind(self.address)
        except OSError as exc:
            bound.close()
            raise PortTaken(
                f"cannot serve SNMP on {self.address.host}:{self.address.port}/udp ({exc.strerror or exc}): "
                "free the port or choose another with snmp.port"
            ) from exc
        bound.setblocking(False)
        self._engine = snmp = _engine(self.source.enterprise)
        transport = _Transport(self._leave, loop=asyncio.get_running_loop())
        config.add_transport(snmp, udp.DOMAIN_NAME, transport.open_server_mode(sock=bound))
        self._let_in(snmp)
        self._aim(snmp)
        within = context.SnmpContext(snmp)
        within.unregister_context_name(b"")
        within.register_context_name(b"", _Values(self._now))
        cmdrsp.GetCommandResponder(snmp, within)
        cmdrsp.NextCommandResponder(snmp, within)
        cmdrsp.BulkCommandResponder(snmp, within).max_varbinds = MOST_VARBINDS
        cmdrsp.SetCommandResponder(snmp, within)
        self._originator = ntforg.NotificationOriginator()
        snmp.transport_dispatcher.job_started(1)
        self.trouble = None

    def stop(self) -> None:
        snmp, self._engine = self._engine, None
        if snmp is not None:
            snmp.transport_dispatcher.close_dispatcher()

    def notify(self, notice: Notice) -> None:
        """Send it to all targets."""
        if self._engine is None or not self.targets:
            return
        bound = [(UP_TIME, rfc1902.TimeTicks(self._up_time())), *map(_bound, variables(notice, self.source.enterprise))]
        self._originator.send_varbinds(self._engine, TARGETS, None, rfc1902.OctetString(b""), bound, self._confirmed)

    @property
    def engine_id(self) -> bytes:
        return engine_id(self.source.enterprise)

    def _confirmed(self, _engine: Any, _handle: Any, trouble: Any, *_: Any) -> None:
        if trouble:
            self.unconfirmed += 1
            log.warning("a notification was not confirmed", reason=str(trouble))

    def _leave(self, reason: Exception) -> None:
        """A datagram that could not be read: whoever sends many of them fills no log."""
        self.unreadable += 1
        if self.unreadable == 1:
            log.warning("a datagram cannot be read; more of them are not told", reason=repr(reason))

    def _let_in(self, snmp: Any) -> None:
        if self.community:
            config.add_v1_system(snmp, COMMUNITY, self.community)
            config.add_vacm_user(snmp, 2, COMMUNITY, "noAuthNoPriv", READABLE, (), READABLE)
        if self.user is not None:
            keys = (config.USM_AUTH_HMAC192_SHA256, self.user.auth_password, config.USM_PRIV_CFB128_AES, self.user.priv_password)
            config.add_v3_user(snmp, self.user.name, *keys)
            config.add_vacm_user(snmp, 3, self.user.name, "authPriv", READABLE, (), READABLE)

    def _aim(self, snmp: Any) -> None:
        """Where notifications go, and how. Names become addresses here, once."""
        if self.by_v3 and self.user is not None:
            config.add_target_parameters(snmp, TARGETS, self.user.name, "authPriv", 3)
        else:
            config.add_target_parameters(snmp, TARGETS, COMMUNITY, "noAuthNoPriv", 1)
        for number, target in enumerate(self.targets):
            place = socket.gethostbyname(target.host), target.port
            config.add_target_address(
                snmp, f"target-{number}", udp.DOMAIN_NAME, place, TARGETS, round(INFORM_S * 100), INFORM_RETRIES, tagList=TARGETS
            )
        config.add_notification_target(snmp, TARGETS, TARGETS, TARGETS, "inform" if self.informs else "trap")

    def _now(self) -> _Whole:
        return _Whole(self._system(), self.source)

    def _system(self) -> list[Instance]:
        """The system group of SNMPv2-MIB, as far as managers look at it."""
        return [
            Instance((*SYSTEM, 1, 0), Wire.OCTETS, self._description.encode()),
            Instance((*SYSTEM, 2, 0), Wire.OBJECT_ID, self.source.root),
            Instance(UP_TIME, Wire.TICKS, self._up_time()),
            Instance((*SYSTEM, 5, 0), Wire.OCTETS, socket.gethostname().encode()),
        ]

    def _up_time(self) -> int:
        return int((time.monotonic() - self._begun) * 100) % 2**32


def engine_id(enterprise: int) -> bytes:
    """The same for every start on a host (RFC 3411, SnmpEngineID, format 4: text)."""
    return (0x80000000 | enterprise).to_bytes(4, "big") + b"\x04" + f"rs-{socket.gethostname()}".encode()[:27]


def _engine(enterprise: int) -> Any:
    """With an id of our own, and a number of boots that grows from start to start without being stored: the time in seconds.
    Told to take an id, pysnmp would keep files below the system's temporary folder."""
    snmp = engine.SnmpEngine()
    builder = snmp.get_mib_builder()
    identity, boots = builder.import_symbols("__SNMP-FRAMEWORK-MIB", "snmpEngineID", "snmpEngineBoots")
    identity.syntax = identity.syntax.clone(engine_id(enterprise))
    snmp.snmpEngineID = identity.syntax
    boots.syntax = boots.syntax.clone(int(time.time()) - BOOTS_SINCE)
    return snmp


class _Transport(udp.UdpTransport):  # type: ignore[misc]  # pysnmp's types do not hold
    """Damaged datagrams make pysnmp fail in ways that it does not catch; they are left, and `leave` is told."""

    def __init__(self, leave: Callable[[Exception], None], **how: Any) -> None:
        super().__init__(**how)
        self._leave = leave

    def register_callback(self, receive: Callable[..., None]) -> None:
        def guarded(*received: Any) -> None:
            try:
                receive(*received)
            except Exception as exc:
                self._leave(exc)

        super().register_callback(guarded)


class _Whole(NamedTuple):
    """The system group, and our tree behind it."""

    system: list[Instance]
    source: Source

    def get(self, name: OID) -> Instance | None:
        return next((each for each in self.system if each.name == name), None) or self.source.now().get(name)

    def has_object(self, name: OID) -> bool:
        return any(name[: len(each.name) - 1] == each.name[:-1] for each in self.system) or self.source.now().has_object(name)

    def next(self, name: OID) -> Instance | None:
        return next((each for each in self.system if each.name > name), None) or self.source.now().next(name)


class _Values(AbstractMibInstrumController):  # type: ignore[misc]  # pysnmp's types do not hold
    """What pysnmp's responders ask for values; its names. Whoever asks must be let in once a message: the whole tree is one view."""

    def __init__(self, whole: Callable[[], _Whole]) -> None:
        self._whole = whole

    def read_variables(self, *asked: Any, **within: Any) -> list[tuple[Any, Any]]:
        self._let_in(asked, within)
        whole = self._whole()
        return [(name, self._got(whole, tuple(name))) for name, _ in asked]

    def read_next_variables(self, *asked: Any, **within: Any) -> list[tuple[Any, Any]]:
        self._let_in(asked, within)
        whole = self._whole()
        found = []
        for name, _ in asked:
            following = whole.next(tuple(name))
            found.append((name, rfc1905.endOfMibView) if following is None else _bound(following))
        return found

    def write_variables(self, *asked: Any, **within: Any) -> None:
        self._let_in(asked, within)
        raise smi_error.NotWritableError(name=asked[0][0] if asked else None, idx=0)

    @staticmethod
    def _let_in(asked: Sequence[Any], within: Any) -> None:
        """Raises AuthorizationError: also of a user who left authentication or privacy out."""
        if asked:
            within["acFun"]("read", (rfc1902.ObjectName(READABLE), None), idx=0, **within)

    @staticmethod
    def _got(whole: _Whole, name: OID) -> Any:
        if (found := whole.get(name)) is not None:
            return _VALUES[found.wire](found.value)
        return rfc1905.noSuchInstance if whole.has_object(name) else rfc1905.noSuchObject


def _bound(instance: Instance) -> tuple[Any, Any]:
    return rfc1902.ObjectName(instance.name), _VALUES[instance.wire](instance.value)
