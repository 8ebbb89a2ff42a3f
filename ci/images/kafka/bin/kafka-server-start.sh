#!/usr/bin/env bash
# Starts the broker: kafka-server-start.sh PROPERTIES [--override NAME=VALUE]…
export KAFKA_HEAP_OPTS=${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G}
export KAFKA_LOG4J_ROOT_LOGLEVEL=${KAFKA_LOG4J_ROOT_LOGLEVEL:-info}
exec "$(dirname "$0")/kafka-run-class.sh" kafka.Kafka "$@"
