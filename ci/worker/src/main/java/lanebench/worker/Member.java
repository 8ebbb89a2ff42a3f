package lanebench.worker;

import java.io.IOException;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import redis.clients.jedis.exceptions.JedisException;

/** A member that works through the messages of each partition in their order, one or a batch of them at a time. */
final class Member implements GroupMember, ConsumerRebalanceListener {
    private static final Logger LOG = LoggerFactory.getLogger(Member.class);
    private static final long COMMIT_INTERVAL_NS = COMMIT_INTERVAL.toNanos();

    private final String topic;
    private final boolean isBatching;
    private final Processor processor;
    private final KafkaConsumer<byte[], byte[]> consumer;
    /** By partition the offset after the last message that is done, where that is not known to be committed. */
    private final Map<TopicPartition, OffsetAndMetadata> done = new HashMap<>();
    private long committedAt = System.nanoTime();
    private long backoffMs = BACKOFF_MIN_MS;
    private volatile boolean stopped;

    Member(Settings settings, String name, Tally tally) throws IOException {
        topic = settings.topic();
        isBatching = settings.mode().kind() == Mode.Kind.BATCH;
        processor = new Processor(settings, name, 1, tally);
        consumer = GroupMember.consumer(settings, name);
    }

    /** The message or the batch in hand is finished. */
    @Override
    public void stop() {
        stopped = true; // seen within a poll, which is short; a wakeup() would also hit the last commit
    }

    @Override
    public Void call() throws InterruptedException {
        try (processor) {
            consumer.subscribe(List.of(topic), this);
            while (!stopped) {
                work(consumer.poll(untilNextCommit()));
                commitIfDue();
            }
        } finally {
            // Revokes first, which commits what is done.
            consumer.close(CloseOptions.timeout(PATIENCE));
        }
        return null;
    }

    /**
     * Works through what a poll brought: in batch mode what can be handled together, then the others one at a time.
     * Where a message can't be dealt with now, its partition is set back to it, so that a later poll brings it again:
     * polling goes on, and with it the membership, however long a store is away.
     */
    private void work(ConsumerRecords<byte[], byte[]> records) throws InterruptedException {
        Set<ConsumerRecord<byte[], byte[]>> handled = new HashSet<>();
        boolean goesOn = !isBatching || records.isEmpty()
            || succeeds(records.iterator().next(), () -> handled.addAll(processor.handleTogether(records)));
        for (TopicPartition partition : records.partitions()) {
            for (ConsumerRecord<byte[], byte[]> record : records.records(partition)) {
                boolean isHandled = handled.contains(record)
                    || goesOn && !isToLeave() && succeeds(record, () -> handle(record));
                if (!isHandled) {
                    consumer.seek(partition, record.offset());
                    break;
                }
                done.put(partition, new OffsetAndMetadata(record.offset() + 1));
                commitIfDue();
            }
        }
    }

    /** Told to stop, a member leaves the next message. It finishes a batch, which has stored what lies further on. */
    private boolean isToLeave() {
        return stopped && !isBatching;
    }

    private void handle(ConsumerRecord<byte[], byte[]> record)
        throws SQLException, ExecutionException, InterruptedException {
        if (isBatching) {
            processor.handleCalled(record);
        } else {
            processor.handle(record);
        }
    }

    /** Work on messages that may fail for now. */
    private interface Attempt {
        void run() throws SQLException, ExecutionException, InterruptedException;
    }

    private boolean succeeds(ConsumerRecord<byte[], byte[]> first, Attempt attempt) throws InterruptedException {
        try {
            attempt.run();
            backoffMs = BACKOFF_MIN_MS;
            return true;
        } catch (SQLException | JedisException | KafkaException | ExecutionException failed) {
            LOG.warn("from offset {} of {} again in {} ms: {}", first.offset(), first.partition(), backoffMs,
                failed.toString());
            Thread.sleep(backoffMs);
            backoffMs = Math.min(2 * backoffMs, BACKOFF_MAX_MS);
            return false;
        }
    }

    /** How long a poll may wait without making a commit late. */
    private Duration untilNextCommit() {
        long left = COMMIT_INTERVAL_NS - (System.nanoTime() - committedAt);
        return Duration.ofNanos(done.isEmpty() ? COMMIT_INTERVAL_NS : Math.max(0, left));
    }

    private void commitIfDue() {
        if (done.isEmpty() || System.nanoTime() - committedAt < COMMIT_INTERVAL_NS) {
            return;
        }
        committedAt = System.nanoTime();
        // Requests of one member reach the coordinator in order, so that a later commit never yields to an earlier one.
        consumer.commitAsync(Map.copyOf(done), (offsets, failed) -> {
            if (failed == null) {
                done.entrySet().removeAll(offsets.entrySet());
            } else {
                LOG.warn("a commit was not taken, the next one says it again: {}", failed.toString());
            }
        });
    }

    private void commitNow() {
        try {
            consumer.commitSync(done, PATIENCE);
        } catch (KafkaException failed) {
            LOG.warn("the last commit was not taken, so its messages come again: {}", failed.toString());
        }
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        commitNow();
        done.keySet().removeAll(partitions);
    }

    /** Somebody else may have them already: nothing is committed. */
    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        done.keySet().removeAll(partitions);
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        LOG.info("assigned {}", partitions);
    }
}
