package lanebench.worker;

import org.apache.kafka.clients.consumer.ConsumerRecord;

/** A Kafka record with the event that it holds. */
record EventRecord(Event event, ConsumerRecord<byte[], byte[]> record) {}
