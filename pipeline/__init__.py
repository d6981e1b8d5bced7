"""From ActiveMQ into the log, and what every other room stands on: messages, settings, topics, the runtime, the `rs` command."""
