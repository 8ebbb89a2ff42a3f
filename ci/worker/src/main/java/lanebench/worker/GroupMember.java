package lanebench.worker;

import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** One member of the group: deals with its partitions' messages, and commits how far it is, until it has to stop. */
interface GroupMember extends Callable<Void> {
    /** Whoever measures from outside sees work when it is committed. */
    Duration COMMIT_INTERVAL = Duration.ofMillis(100);
    /** How long the end of a member may take, step by step. */
    Duration PATIENCE = Duration.ofSeconds(2);
    long BACKOFF_MIN_MS = 20;
    long BACKOFF_MAX_MS = 1_000;

    /** Finishes what is in hand, commits and leaves. From any thread. */
    void stop();

    /** That of the mode. */
    static GroupMember of(Settings settings, String name, Tally tally) throws IOException {
        return settings.mode().kind() == Mode.Kind.KEYED
            ? new KeyedMember(settings, name, tally)
            : new Member(settings, name, tally);
    }

    static KafkaConsumer<byte[], byte[]> consumer(Settings settings, String name) {
        return new KafkaConsumer<>(Map.of(
            ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, settings.bootstrap(),
            ConsumerConfig.GROUP_ID_CONFIG, settings.group(),
            ConsumerConfig.CLIENT_ID_CONFIG, name,
            ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false,
            ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
            ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed",
            // A member that was killed is missed after this long; 6 s is the least that brokers allow by default.
            ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, 6_000,
            ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, 300,
            ConsumerConfig.MAX_POLL_RECORDS_CONFIG, settings.mode().kind().recordsAPollMax),
            new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
