package lanebench.worker;

import java.io.IOException;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** All that is to be done with messages, in any mode. What fails is safe to do again, from the start. */
final class Processor implements AutoCloseable {
    private final Store store;
    private final View view;
    private final DeadLetters deadLetters;
    private final OwnTimes ownTimes;

    Processor(Settings settings, String name) throws IOException {
        store = new Store(new Database(settings.databaseUrl(), settings.schema()));
        view = new View(settings.redisUrl(), settings.keyPrefix());
        deadLetters = new DeadLetters(settings.bootstrap());
        ownTimes = new OwnTimes(settings.ownTimes(), name);
    }

    /** Deals with one message: stored, then visible, or else in the dead-letter topic. */
    void handle(ConsumerRecord<byte[], byte[]> record) throws SQLException, ExecutionException, InterruptedException {
        try {
            Event event = Event.decode(record.value());
            // A redelivery writes the view too: whoever had the message before may have died between row and view.
            show(store.apply(event, record.partition(), record.offset()));
            ownTimes.visible(event, record.timestamp());
        } catch (Rejected fault) {
            deadLetters.send(record, fault.getMessage());
        }
    }

    /**
     * Deals with what of several messages follows its row: stored by one statement, then visible by one pipeline.
     *
     * @return those that were dealt with; the others are for {@link #handle}, in their order
     */
    Set<ConsumerRecord<byte[], byte[]>> handleTogether(Iterable<ConsumerRecord<byte[], byte[]>> records)
        throws SQLException {
        List<Fold> applied = applied(Fold.of(events(records)));
        List<Status> lost = view.putAllIfNewer(applied.stream().map(Fold::status).toList());
        Set<ConsumerRecord<byte[], byte[]>> handled = new HashSet<>();
        for (Fold fold : applied) {
            for (EventRecord member : fold.members()) {
                ownTimes.visible(member.event(), member.record().timestamp());
                handled.add(member.record());
            }
        }
        for (Status status : lost) {
            show(store.newerThan(status));
        }
        return handled;
    }

    private List<Fold> applied(List<Fold> folds) throws SQLException {
        try {
            return store.applyAll(folds);
        } catch (Rejected fault) {
            return List.of(); // one by one, it shows which of them is at fault
        }
    }

    private static List<EventRecord> events(Iterable<ConsumerRecord<byte[], byte[]>> records) {
        List<EventRecord> events = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            try {
                events.add(new EventRecord(Event.decode(record.value()), record));
            } catch (Rejected fault) {
                // It goes to the dead-letter topic when its turn comes.
            }
        }
        return events;
    }

    /** Brings a row's status into the view; one that the view had lost is followed by what the row has by then. */
    private void show(Status status) throws SQLException {
        Status next = status;
        while (next != null && view.putIfNewer(next)) {
            next = store.newerThan(next);
        }
    }

    @Override
    public void close() {
        try (store; view; deadLetters; ownTimes) {
            // Each of them, whatever becomes of the others.
        }
    }
}
