"""The module of Prometheus' SNMP exporter for our MIB: python -m sinks.snmp.exporter MIBS > deploy/snmp-exporter/snmp.yml

MIBS is a folder with the standard MIB files (SNMPv2-SMI, -TC, -CONF). The generator of the exporter does the work; it is called
prometheus-snmp-generator in Debian.

Exporters from 0.24 on read `auths` and `modules` apart, earlier ones modules alone, with what is authentication inside. The generator
of either is given what it knows, and the file that is made is of the newer form; `older` gives the earlier one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from sinks.snmp.mib import MODULE
from sinks.snmp.smi import FILE

GENERATOR = ("prometheus-snmp-generator", "snmp_exporter_generator")
NAME = "reporting_server"
INPUT = f"""\
modules:
  {NAME}:
    walk: [reportingServerMIB]
    max_repetitions: 50
"""
AUTHS = """\
auths:
  public_v2:
    community: public
    security_level: noAuthNoPriv
    auth_protocol: MD5
    priv_protocol: DES
    version: 2
"""


class GeneratorFailed(RuntimeError):
    """What the generator said."""


def generator() -> str | None:
    return next((path for name in GENERATOR if (path := shutil.which(name)) is not None), None)


def generated(standard: Path, mib_file: Path = FILE) -> str:
    """The file of the newer form. Raises GeneratorFailed."""
    program = generator()
    if program is None:
        raise GeneratorFailed(f"none of {', '.join(GENERATOR)} is installed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mibs = folder / "mibs"
        shutil.copytree(standard, mibs)
        shutil.copy(mib_file, mibs / MODULE)
        (folder / "generator.yml").write_text(INPUT)
        done = subprocess.run(
            [program, "generate"],
            cwd=folder,
            env={"MIBDIRS": str(mibs), "MIBS": "ALL", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise GeneratorFailed(done.stdout + done.stderr)
        return newer((folder / "snmp.yml").read_text())


def newer(text: str) -> str:
    """What a generator of either age has written, in the newer form."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    module = "\n".join(lines)
    if not module.startswith(("modules:", "auths:")):
        module = "modules:\n" + textwrap.indent(module, "  ")
    return f"# Generated: see sinks/snmp/exporter.py\n{AUTHS}{module[module.index('modules:') :]}\n"


def older(text: str) -> str:
    """The newer form as exporters before 0.24 read it."""
    return textwrap.dedent(text[text.index("modules:\n") + len("modules:\n") :])


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m sinks.snmp.exporter FOLDER-OF-STANDARD-MIBS\n")
        return 2
    try:
        sys.stdout.write(generated(Path(sys.argv[1])))
    except GeneratorFailed as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
