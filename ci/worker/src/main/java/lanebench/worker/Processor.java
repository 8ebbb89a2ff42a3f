package lanebench.worker;

import java.io.IOException;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** All that is to be done with messages, in any mode, by any thread. What fails is safe to do again, from the start. */
final class Processor implements AutoCloseable {
    private final ServiceTime serviceTime;
    private final boolean keepsNothing;
    private final ConnectionPool connections;
    private final DeadLetters deadLetters;
    private final OwnTimes ownTimes;
    private final Tally tally;

    /** @param atOnce messages that may be stored and shown side by side */
    Processor(Settings settings, String name, int atOnce, Tally tally) throws IOException {
        serviceTime = settings.serviceTime();
        keepsNothing = settings.keepsNothing();
        connections = new ConnectionPool(settings, atOnce);
        deadLetters = new DeadLetters(settings.bootstrap());
        ownTimes = new OwnTimes(settings.ownTimes(), name);
        this.tally = tally;
    }

    /** Deals with one message: its call made, then stored, then visible, or else in the dead-letter topic. */
    void handle(ConsumerRecord<byte[], byte[]> record) throws SQLException, ExecutionException, InterruptedException {
        handle(record, serviceTime);
    }

    /** The same for a message whose call was made by {@link #handleTogether}. */
    void handleCalled(ConsumerRecord<byte[], byte[]> record)
        throws SQLException, ExecutionException, InterruptedException {
        handle(record, ServiceTime.NONE);
    }

    private void handle(ConsumerRecord<byte[], byte[]> record, ServiceTime time)
        throws SQLException, ExecutionException, InterruptedException {
        try {
            Event event = Event.decode(record.value());
            time.call(event);
            if (!keepsNothing) {
                connections.lend(mine -> {
                    mine.keep(event, record.partition(), record.offset());
                    return null;
                });
            }
            done(event, record);
        } catch (Rejected fault) {
            deadLetters.send(record, fault.getMessage());
        }
    }

    /**
     * Makes the calls of several messages, one after another, and deals with what follows its row: stored by one
     * statement, then visible by one pipeline.
     *
     * @return those that were dealt with; the others are for {@link #handleCalled}, in their order
     */
    Set<ConsumerRecord<byte[], byte[]>> handleTogether(Iterable<ConsumerRecord<byte[], byte[]>> records)
        throws SQLException, InterruptedException {
        List<EventRecord> events = events(records);
        for (EventRecord next : events) {
            serviceTime.call(next.event());
        }
        Set<ConsumerRecord<byte[], byte[]>> handled = new HashSet<>();
        for (Fold fold : kept(Fold.of(events))) {
            for (EventRecord member : fold.members()) {
                done(member.event(), member.record());
                handled.add(member.record());
            }
        }
        return handled;
    }

    private List<Fold> kept(List<Fold> folds) throws SQLException, InterruptedException {
        try {
            return keepsNothing ? folds : connections.lend(mine -> mine.keepAll(folds));
        } catch (Rejected fault) {
            return List.of(); // one by one, it shows which of them is at fault
        }
    }

    private void done(Event event, ConsumerRecord<byte[], byte[]> record) {
        ownTimes.visible(event, record.timestamp());
        tally.handled();
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

    @Override
    public void close() {
        try (connections; deadLetters; ownTimes) {
            // Each of them, whatever becomes of the others.
        }
    }
}
