#!/bin/sh
# The configuration lies in memory: it holds the community. An unprivileged port, so that nobody has to be root.
set -eu
cat > /tmp/snmpd.conf <<END
master agentx
agentXSocket tcp:0.0.0.0:1705
agentaddress udp:0.0.0.0:1161
rocommunity ${SNMP_COMMUNITY:-public}
${SNMP_TRAP_TARGET:+trap2sink $SNMP_TRAP_TARGET ${SNMP_COMMUNITY:-public}}
END
# Without -smux it would listen on port 199, too.
export MIBS= SNMP_PERSISTENT_DIR=/tmp/persistent
exec snmpd -f -LOw -C -c /tmp/snmpd.conf -I -smux -p /tmp/snmpd.pid
