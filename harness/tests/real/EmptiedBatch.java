import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Leaves a batch without records at the head of a compacted topic: a producer that the brokers still know wrote it, and another one wrote its
 * key again. Prints a line for each record that is left: its kind, partition and offset.
 *
 * <p>java -cp 'libs/*' EmptiedBatch.java BOOTSTRAP TOPIC, the topic with one partition, cleanup.policy=compact and segment.ms=1000
 */
public final class EmptiedBatch {
    private static final long PATIENCE_NS = Duration.ofSeconds(120).toNanos();
    private static final long SEGMENT_MS = 1_200;

    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        var partition = new TopicPartition(args[1], 0);
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "acks", "all");
        var bytes = new ByteArraySerializer();
        try (var first = new KafkaProducer<>(settings, bytes, bytes); var second = new KafkaProducer<>(settings, bytes, bytes)) {
            write(first, partition, "again", "no event, and soon none at all");
            // Only what lies in segments before the last one is compacted, and each write after this pause begins one.
            Thread.sleep(SEGMENT_MS);
            long again = write(second, partition, "again", event("again"));
            Thread.sleep(SEGMENT_MS);
            long behind = write(second, partition, "behind", event("behind"));
            untilEmptied(bootstrap, partition);
            System.out.println("good 0 " + again);
            System.out.println("good 0 " + behind);
        }
    }

    private static void untilEmptied(String bootstrap, TopicPartition partition) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", "false");
        var bytes = new ByteArrayDeserializer();
        long begun = System.nanoTime();
        try (var consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
            consumer.assign(List.of(partition));
            while (System.nanoTime() - begun < PATIENCE_NS) {
                consumer.seekToBeginning(List.of(partition));
                var records = consumer.poll(Duration.ofSeconds(2)).records(partition);
                if (!records.isEmpty() && records.get(0).offset() > 0) {
                    return;
                }
                Thread.sleep(500);
            }
        }
        throw new IllegalStateException("the topic was not compacted");
    }

    private static long write(KafkaProducer<byte[], byte[]> to, TopicPartition partition, String key, String value) throws Exception {
        return to.send(new ProducerRecord<>(partition.topic(), partition.partition(), bytes(key), bytes(value))).get().offset();
    }

    private static String event(String orderId) {
        return "{\"orderId\":\"" + orderId + "\",\"revision\":1,\"amountMinor\":100,\"currency\":\"EUR\",\"address\":\"Hauptstrasse 1\",\"paidAtMs\":0}";
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
