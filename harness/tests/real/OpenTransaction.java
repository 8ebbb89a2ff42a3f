import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Leaves a transaction open on partition 0, with an event of its own and one of another producer behind it, until a line comes on stdin:
 * commit, or anything else to abort. Prints the offset at which the transaction begins, and then how it ended.
 *
 * <p>java -cp 'libs/*' OpenTransaction.java BOOTSTRAP TOPIC
 */
public final class OpenTransaction {
    public static void main(String[] args) throws Exception {
        String topic = args[1];
        Map<String, Object> plain = Map.of("bootstrap.servers", args[0], "acks", "all");
        Map<String, Object> transactional = Map.of("bootstrap.servers", args[0], "acks", "all", "transactional.id", topic + "-open");
        var bytes = new ByteArraySerializer();
        try (var open = new KafkaProducer<>(transactional, bytes, bytes); var behind = new KafkaProducer<>(plain, bytes, bytes)) {
            open.initTransactions();
            open.beginTransaction();
            long offset = open.send(record(topic, "in-the-transaction")).get().offset();
            behind.send(record(topic, "behind-it")).get();
            System.out.println(offset);
            boolean commits = "commit".equals(new String(System.in.readNBytes(6), StandardCharsets.UTF_8));
            if (commits) {
                open.commitTransaction();
            } else {
                open.abortTransaction();
            }
            System.out.println(commits ? "committed" : "aborted");
        }
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, String orderId) {
        String event = "{\"orderId\":\"" + orderId
                + "\",\"revision\":1,\"amountMinor\":100,\"currency\":\"EUR\",\"address\":\"Hauptstrasse 1\",\"paidAtMs\":0}";
        return new ProducerRecord<>(topic, 0, orderId.getBytes(StandardCharsets.UTF_8), event.getBytes(StandardCharsets.UTF_8));
    }
}
