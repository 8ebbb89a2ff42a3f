package lanebench.worker;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Where a message goes that is itself at fault: the same partition of {@code <topic>.DLT}, key and headers kept. */
final class DeadLetters implements AutoCloseable {
    private final String bootstrap;
    private KafkaProducer<byte[], byte[]> producer;

    DeadLetters(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    /** Returns when the broker has acknowledged the letter: only then may its message's offset be committed. */
    void send(ConsumerRecord<byte[], byte[]> record, String reason) throws ExecutionException, InterruptedException {
        ProducerRecord<byte[], byte[]> letter = new ProducerRecord<>(record.topic() + ".DLT", record.partition(),
            record.timestamp() < 0 ? null : record.timestamp(), record.key(), record.value(), record.headers());
        header(letter, "dlt-reason", reason);
        header(letter, "dlt-original-partition", Integer.toString(record.partition()));
        header(letter, "dlt-original-offset", Long.toString(record.offset()));
        producer().send(letter).get();
    }

    /** One for all threads, made when a letter is first sent: most members never need it. */
    private synchronized KafkaProducer<byte[], byte[]> producer() {
        if (producer == null) {
            producer = new KafkaProducer<>(Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
                ProducerConfig.ACKS_CONFIG, "all",
                ProducerConfig.MAX_BLOCK_MS_CONFIG, 2_000,
                ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, 2_000,
                ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 4_000,
                ProducerConfig.LINGER_MS_CONFIG, 0),
                new ByteArraySerializer(), new ByteArraySerializer());
        }
        return producer;
    }

    private static void header(ProducerRecord<byte[], byte[]> letter, String name, String value) {
        letter.headers().remove(name).add(name, value.getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public synchronized void close() {
        if (producer != null) {
            producer.close();
        }
    }
}
