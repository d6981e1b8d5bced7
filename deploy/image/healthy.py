#!/usr/local/bin/python -IS
"""healthy PORT [PATH]: ask /health/ready of the process in this container; 0 if it is ready, else 1 and the reasons. For HEALTHCHECKs."""

import http.client
import sys


def main(port: int, path: str = "/health/ready") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        sys.stdout.write(answer.read(2000).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as exc:
        sys.stdout.write(f"nothing answers on port {port}: {exc}")
        return 1
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
