package lanebench.worker;

import io.confluent.parallelconsumer.PCRetriableException;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.CommitMode;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import io.confluent.parallelconsumer.RecordContext;
import java.io.IOException;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.KafkaException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import redis.clients.jedis.exceptions.JedisException;

/**
 * A member that works on several orders side by side, by Confluent's parallel consumer: one thread an order.
 *
 * <p>Offsets are committed in its default way: now and then, asynchronously, and up to the first message that is not
 * done. The commit's metadata says which of those behind it are, so that they are not delivered again. A message that
 * fails is tried again after a while, and the rest of its order waits for it. Everything else is as by default.
 */
final class KeyedMember implements GroupMember {
    private static final Logger LOG = LoggerFactory.getLogger(KeyedMember.class);
    /** Connections of all members to PostgreSQL. It allows 100 by default, and on the native stack 50. */
    private static final int CONNECTIONS_MAX = 32;

    private final String topic;
    private final Processor processor;
    private final ParallelStreamProcessor<byte[], byte[]> parallelConsumer;
    private final CountDownLatch stopped = new CountDownLatch(1);

    KeyedMember(Settings settings, String name, Tally tally) throws IOException {
        int atOnce = settings.mode().atOnce();
        int connections = Math.max(1, Math.min(atOnce, CONNECTIONS_MAX / settings.consumers()));
        topic = settings.topic();
        processor = new Processor(settings, name, connections, tally);
        parallelConsumer = ParallelStreamProcessor.createEosStreamProcessor(
            ParallelConsumerOptions.<byte[], byte[]>builder()
                .consumer(GroupMember.consumer(settings, name))
                .ordering(ProcessingOrder.KEY)
                .maxConcurrency(atOnce)
                .commitMode(CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
                .commitInterval(COMMIT_INTERVAL)
                .retryDelayProvider(KeyedMember::backoff)
                .build());
    }

    /** The messages that threads are at are finished; those that wait for one are left to be delivered again. */
    @Override
    public void stop() {
        stopped.countDown();
    }

    @Override
    public Void call() throws InterruptedException {
        try (processor) {
            try {
                parallelConsumer.subscribe(List.of(topic));
                parallelConsumer.poll(context -> handle(context.getSingleConsumerRecord()));
                while (!stopped.await(1, TimeUnit.SECONDS)) {
                    if (parallelConsumer.isClosedOrFailed()) {
                        throw new IllegalStateException("the parallel consumer has ended by itself; its log says why");
                    }
                }
            } finally {
                // Before the processor: its threads use it to the end.
                parallelConsumer.closeDontDrainFirst(PATIENCE);
            }
        }
        return null;
    }

    private void handle(ConsumerRecord<byte[], byte[]> record) {
        try {
            processor.handle(record);
        } catch (SQLException | JedisException | KafkaException | ExecutionException failed) {
            LOG.warn("offset {} of {} again in a while: {}", record.offset(), record.partition(), failed.toString());
            throw new PCRetriableException(failed.toString(), failed);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new PCRetriableException("interrupted", interrupted);
        }
    }

    private static Duration backoff(RecordContext<byte[], byte[]> record) {
        int doublings = Math.min(record.getNumberOfFailedAttempts() - 1, 10);
        return Duration.ofMillis(Math.min(BACKOFF_MIN_MS << doublings, BACKOFF_MAX_MS));
    }
}
