import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes each kind of record that Kafka allows to each partition of a topic, and a good event behind each, with Kafka's own producer. Prints
 * a line a record: its kind, partition and offset. The test that runs it says what has to become of each kind.
 *
 * <p>java -cp 'libs/*' RecordKinds.java BOOTSTRAP TOPIC PARTITIONS [small], the latter without records of 1 MB
 */
public final class RecordKinds {
    private static final long FAR_AHEAD_MS = 9_000_000_000_000_000L; // the year 287,168, which is no date to many libraries

    private static String bootstrap;
    private static String topic;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        topic = args[1];
        int partitions = Integer.parseInt(args[2]);
        boolean large = args.length < 4;
        try (var plain = producer(Map.of());
                var gzip = producer(Map.of("compression.type", "gzip"));
                var snappy = producer(Map.of("compression.type", "snappy"));
                var lz4 = producer(Map.of("compression.type", "lz4"));
                var zstd = producer(Map.of("compression.type", "zstd"));
                var old = producer(Map.of("enable.idempotence", "false"));
                var committing = producer(Map.of("transactional.id", topic + "-committing"));
                var aborting = producer(Map.of("transactional.id", topic + "-aborting", "compression.type", "lz4"))) {
            committing.initTransactions();
            aborting.initTransactions();
            for (int p = 0; p < partitions; p++) {
                send(plain, p, "plain", event("plain", p, 1));
                send(gzip, p, "gzip", event("gzip", p, 1));
                send(snappy, p, "snappy", event("snappy", p, 1));
                send(lz4, p, "lz4", event("lz4", p, 1));
                send(zstd, p, "zstd", event("zstd", p, 1));
                send(old, p, "not-idempotent", event("not-idempotent", p, 1));
                send(plain, p, "null-header", event("null-header", p, 1), header("trace", null));
                send(plain, p, "repeated-header", event("repeated-header", p, 1), header("a", "1"), header("a", "2"));
                sendAt(plain, p, "timestamp-0", event("timestamp-0", p, 1), 0L);
                sendAt(plain, p, "timestamp-far-ahead", event("timestamp-far-ahead", p, 1), FAR_AHEAD_MS);
                committing.beginTransaction();
                send(committing, p, "committed", event("committed", p, 1));
                committing.commitTransaction();
                good(plain, p, "marker-of-a-commit");
                aborting.beginTransaction();
                send(aborting, p, "aborted", event("aborted", p, 1));
                aborting.abortTransaction();
                good(plain, p, "marker-of-an-abort");
                send(plain, p, "undecodable", bytes("{ no event"), header("b", "1"), header("a", null), header("a", "2"));
                send(zstd, p, "undecodable-zstd", bytes("{ no event either"));
                sendAt(plain, p, "undecodable-far-ahead", bytes("{ no event"), FAR_AHEAD_MS);
                send(plain, p, "tombstone", null);
                if (large) {
                    send(plain, p, "large", "x".repeat(1_040_000).getBytes(StandardCharsets.UTF_8));
                    send(plain, p, "largest", "x".repeat(1_048_440).getBytes(StandardCharsets.UTF_8));
                }
                send(plain, p, "refused-by-the-store", bytes(json("refused-" + p, 1, "a NUL \\u0000")));
                keyless(plain, p, "without-key");
                send(plain, p, "gap", event("gap", p, 3));
                // The log ends with a marker, which no record lies behind.
                committing.beginTransaction();
                send(committing, p, "committed", event("committed", p, 2));
                committing.commitTransaction();
            }
        }
    }

    private static KafkaProducer<byte[], byte[]> producer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", bootstrap);
        all.put("acks", "all");
        all.put("max.request.size", 2_000_000);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static void good(KafkaProducer<byte[], byte[]> to, int partition, String behind) throws Exception {
        write(to, partition, "good", bytes("good-" + behind + "-" + partition), bytes(json("good-" + behind + "-" + partition, 1, "x")), null);
    }

    /** The record of its kind, and a good event behind it, unless it belongs to a transaction. */
    private static void send(KafkaProducer<byte[], byte[]> to, int partition, String kind, byte[] value, Header... headers)
            throws Exception {
        write(to, partition, kind, bytes(kind + "-" + partition), value, null, headers);
        if (!kind.equals("committed") && !kind.equals("aborted")) {
            good(to, partition, kind);
        }
    }

    private static void sendAt(KafkaProducer<byte[], byte[]> to, int partition, String kind, byte[] value, long timestampMs)
            throws Exception {
        write(to, partition, kind, bytes(kind + "-" + partition), value, timestampMs);
        good(to, partition, kind);
    }

    private static void keyless(KafkaProducer<byte[], byte[]> to, int partition, String kind) throws Exception {
        write(to, partition, kind, null, bytes("no event"), null);
        good(to, partition, kind);
    }

    private static void write(
            KafkaProducer<byte[], byte[]> to, int partition, String kind, byte[] key, byte[] value, Long timestampMs, Header... headers)
            throws Exception {
        var record = new ProducerRecord<>(topic, partition, timestampMs, key, value, List.of(headers));
        var written = to.send(record).get();
        System.out.println(kind + " " + partition + " " + written.offset());
    }

    private static byte[] event(String kind, int partition, int revision) {
        return bytes(json(kind + "-" + partition, revision, "Hauptstrasse 1"));
    }

    private static String json(String orderId, int revision, String address) {
        return "{\"orderId\":\"" + orderId + "\",\"revision\":" + revision
                + ",\"amountMinor\":100,\"currency\":\"EUR\",\"address\":\"" + address + "\",\"paidAtMs\":0}";
    }

    private static Header header(String name, String value) {
        return new RecordHeader(name, value == null ? null : bytes(value));
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
