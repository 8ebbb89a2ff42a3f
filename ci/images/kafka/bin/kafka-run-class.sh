#!/usr/bin/env bash
# Runs a class of Kafka: kafka-run-class.sh CLASS [ARGUMENT…]. The variables are those of Kafka's own script.
set -euo pipefail
read -ra flags <<<"${KAFKA_HEAP_OPTS:--Xmx256m} ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseG1GC -XX:MaxGCPauseMillis=20} ${KAFKA_OPTS:-}"
exec java "${flags[@]}" -Djava.awt.headless=true \
  -Dorg.slf4j.simpleLogger.defaultLogLevel="${KAFKA_LOG4J_ROOT_LOGLEVEL:-warn}" -Dorg.slf4j.simpleLogger.showDateTime=true \
  -cp '/opt/kafka/libs/*' "$@"
