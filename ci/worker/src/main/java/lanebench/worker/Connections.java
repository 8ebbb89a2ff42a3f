package lanebench.worker;

import java.sql.SQLException;
import java.util.List;

/** A connection to the store and one to the view, of one thread at a time. */
record Connections(Store store, View view) implements AutoCloseable {
    static Connections of(Settings settings) {
        return new Connections(new Store(new Database(settings.databaseUrl(), settings.schema())),
            new View(settings.redisUrl(), settings.keyPrefix()));
    }

    /** Stores an event, and then makes it visible. */
    void keep(Event event, int partition, long offset) throws SQLException, Rejected {
        // A redelivery writes the view too: whoever had the message before may have died between row and view.
        show(store.apply(event, partition, offset));
    }

    /**
     * Stores what follows its row by one statement, and then makes it visible by one pipeline.
     *
     * @return those that were dealt with
     */
    List<Fold> keepAll(List<Fold> folds) throws SQLException, Rejected {
        List<Fold> applied = store.applyAll(folds);
        for (Status lost : view.putAllIfNewer(applied.stream().map(Fold::status).toList())) {
            show(store.newerThan(lost));
        }
        return applied;
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
        try (store; view) {
            // Both, whatever becomes of the other.
        }
    }
}
