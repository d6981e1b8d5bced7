"""`rs rebuild`: the log folded anew into the next generation, beside the current one, compared with it, and put in its place.

steps    what is done, one after the other (`Rebuild`)
copying  the log copied into one with another number of partitions, and followed
log      what Kafka says: ends, groups; deleting what a generation leaves
reach    waiting until a generation has stored what the log held
"""
