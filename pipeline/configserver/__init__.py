"""The Config Server: options for all processes of a Reporting Server, and the names of what it reports on.

    Folder | Etcd --Held--> accept --Accepted--> Process: now(), objects()
                              |
                              +--> refused, with the reason

`held` is what a server holds and what it promises, `accepting` is pure, `process` keeps the settings of one process. A process reads
it once at its start (`pipeline.settings.load`) and follows it from `follow()` on.
"""

from pipeline.configserver.description import CHANGES
from pipeline.configserver.objects import Objects
from pipeline.configserver.process import Process, begin, follow, mine, now, objects, told

__all__ = ["CHANGES", "Objects", "Process", "begin", "follow", "mine", "now", "objects", "told"]
