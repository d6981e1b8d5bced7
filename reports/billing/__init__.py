"""The billing statement, the pure part: from RM sessions to the figures of a tenant's month, and from a corrected session to what it
changes (docs/reports.md section 4, rules S1 to S5). No I/O; all instants are ms UTC.

    sessions --Ledger--> Statement (a line by profile, and the total)
    a session as it was and as it is --adjust--> differences by line
"""

from __future__ import annotations
