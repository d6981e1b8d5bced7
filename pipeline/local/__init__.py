"""The local stack: brokers, workers and pages as child processes of `rs up`."""
