"""The SQL store: one batch of changelog records is one transaction, and a row never goes back.

record -> buffer (highest mark of each key) -> binder (rows) -> writer (one transaction) <- dialect (SQL text)
                                                             ^- task (retry, put aside, stop)
"""
