package lanebench.worker;

import java.sql.Array;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;

/**
 * Delivery rows in PostgreSQL.
 *
 * <p>The domain rule stands in one statement that applies an event only to the row that it follows. What that statement
 * does not take (a redelivery, a gap) is looked at under the row's lock, through which all writes of an order go.
 */
final class Store implements AutoCloseable {
    /** For the first event of an order, which no row can be too far behind for. */
    private static final String APPLY_FIRST = """
        INSERT INTO deliveries AS d
          (order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset)
        VALUES (?, 1, 1, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (order_id) DO UPDATE SET
          revision = 1, applied = d.applied + 1, status = excluded.status, amount_minor = excluded.amount_minor,
          currency = excluded.currency, address = excluded.address, log_partition = excluded.log_partition,
          log_offset = excluded.log_offset, updated_at = now()
        WHERE d.revision = 0
        RETURNING has_parked""";

    /** For any other event: without a row there is nothing that it could follow. */
    private static final String APPLY_NEXT = """
        UPDATE deliveries SET
          revision = revision + 1, applied = applied + 1, status = ?, amount_minor = ?, currency = ?, address = ?,
          log_partition = ?, log_offset = ?, updated_at = now()
        WHERE order_id = ? AND revision = ?
        RETURNING has_parked""";

    /**
     * For folds of several orders, an array a column; {@code applied} is how many events a fold has. A fold needs a row
     * that it follows, unless it starts at revision 1. Sorted, so that two statements which meet wait for each other in
     * one line.
     */
    private static final String APPLY_FOLDS = """
        INSERT INTO deliveries AS d
          (order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset)
        SELECT order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset
        FROM unnest(?::text[], ?::integer[], ?::integer[], ?::text[], ?::bigint[], ?::text[], ?::text[], ?::integer[],
            ?::bigint[])
          AS f (order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset)
        WHERE f.revision = f.applied OR EXISTS (SELECT FROM deliveries AS r WHERE r.order_id = f.order_id)
        ORDER BY f.order_id
        ON CONFLICT (order_id) DO UPDATE SET
          revision = excluded.revision, applied = d.applied + excluded.applied, status = excluded.status,
          amount_minor = excluded.amount_minor, currency = excluded.currency, address = excluded.address,
          log_partition = excluded.log_partition, log_offset = excluded.log_offset, updated_at = now()
        WHERE d.revision = excluded.revision - excluded.applied
        RETURNING order_id, has_parked""";

    /** A row of revision 0 stands for an order of which nothing is applied yet: something to lock. */
    private static final String MAKE = """
        INSERT INTO deliveries (order_id, revision, applied) VALUES (?, 0, 0) ON CONFLICT (order_id) DO NOTHING""";

    private static final String LOCK = "SELECT revision, has_parked FROM deliveries WHERE order_id = ? FOR UPDATE";

    private static final String NEWER = "SELECT revision FROM deliveries WHERE order_id = ? AND revision > ?";

    private static final String PARK = """
        INSERT INTO parked_events
          (order_id, first, last, amount_minor, currency, address, log_partition, log_offset)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (order_id, last) DO NOTHING""";

    /** One parked event that the row can take; a batching worker may have parked several folded to one. */
    private static final String APPLY_PARKED = """
        UPDATE deliveries AS d SET
          revision = p.last, applied = d.applied + (p.last - d.revision), status = 'AMENDED',
          amount_minor = p.amount_minor, currency = p.currency, address = p.address,
          log_partition = p.log_partition, log_offset = p.log_offset, updated_at = now()
        FROM parked_events AS p
        WHERE d.order_id = ? AND p.order_id = d.order_id AND p.first <= d.revision + 1 AND p.last > d.revision""";

    private static final String UNPARK = """
        DELETE FROM parked_events AS p USING deliveries AS d
        WHERE d.order_id = ? AND p.order_id = d.order_id AND p.last <= d.revision""";

    private static final String MARK = """
        UPDATE deliveries AS d SET has_parked = EXISTS (SELECT FROM parked_events AS p WHERE p.order_id = d.order_id)
        WHERE d.order_id = ?
        RETURNING revision, has_parked""";

    private final Database database;

    Store(Database database) {
        this.database = database;
    }

    /**
     * Applies, ignores or parks an event; committed on return.
     *
     * @return the status of the row as it is now, or null if the event waits for what comes before it
     * @throws Rejected if the database refuses this event for good
     * @throws SQLException if trying again may help
     */
    Status apply(Event event, int partition, long offset) throws SQLException, Rejected {
        return database.call(() -> {
            Boolean hasParked = guard(event, partition, offset);
            if (Boolean.FALSE.equals(hasParked)) {
                return new Status(event.orderId(), event.revision());
            }
            return database.transaction(() -> settle(event, partition, offset));
        });
    }

    /**
     * Applies the folds that follow their rows, by one statement; committed on return.
     *
     * @return those that were applied and have nothing parked behind them; the events of the others are for
     *     {@link #apply}, which ignores what was applied, and applies what is parked
     * @throws Rejected if the database refuses one of them for good; none is applied then
     * @throws SQLException if trying again may help
     */
    List<Fold> applyAll(List<Fold> folds) throws SQLException, Rejected {
        return folds.isEmpty() ? folds : database.call(() -> {
            Set<String> complete = new HashSet<>();
            try (PreparedStatement statement = database.prepared(APPLY_FOLDS,
                    column("text", folds, fold -> fold.last().event().orderId()),
                    column("int4", folds, fold -> fold.last().event().revision()),
                    column("int4", folds, fold -> fold.members().size()),
                    column("text", folds, fold -> fold.status().text()),
                    column("int8", folds, fold -> fold.last().event().amountMinor()),
                    column("text", folds, fold -> fold.last().event().currency()),
                    column("text", folds, fold -> fold.last().event().address()),
                    column("int4", folds, fold -> fold.last().record().partition()),
                    column("int8", folds, fold -> fold.last().record().offset()));
                ResultSet applied = statement.executeQuery()) {
                while (applied.next()) {
                    boolean hasParked = applied.getBoolean(2);
                    if (!hasParked) {
                        complete.add(applied.getString(1));
                    }
                }
            }
            return folds.stream().filter(fold -> complete.contains(fold.last().event().orderId())).toList();
        });
    }

    private Array column(String type, List<Fold> folds, Function<Fold, Object> value) throws SQLException {
        return database.array(type, folds.stream().map(value).toArray());
    }

    /** @return the status of the row as it is now, or null where that is no newer than this one */
    Status newerThan(Status status) throws SQLException {
        try (PreparedStatement statement = database.prepared(NEWER, status.orderId(), status.revision());
            ResultSet found = statement.executeQuery()) {
            return found.next() ? new Status(status.orderId(), found.getInt(1)) : null;
        }
    }

    /** @return null if the row did not take the event, otherwise whether events of the order are parked */
    private Boolean guard(Event event, int partition, long offset) throws SQLException {
        String id = event.orderId();
        String status = Status.at(event.revision());
        Object[] row = {status, event.amountMinor(), event.currency(), event.address(), partition, offset};
        try (PreparedStatement statement = event.revision() == 1
                ? database.prepared(APPLY_FIRST, id, row)
                : database.prepared(APPLY_NEXT, row, id, event.revision() - 1);
            ResultSet taken = statement.executeQuery()) {
            return taken.next() ? taken.getBoolean(1) : null;
        }
    }

    /** What the guard alone can't do, under the row's lock. */
    private Status settle(Event event, int partition, long offset) throws SQLException {
        String id = event.orderId();
        database.update(MAKE, id);
        Row row = row(LOCK, id);
        if (event.revision() - row.revision() > 1) {
            database.update(PARK, id, event.revision(), event.revision(), event.amountMinor(), event.currency(),
                event.address(), partition, offset);
            row(MARK, id);
            return null;
        }
        // The row may have moved between guard and lock, so that it takes the event now.
        guard(event, partition, offset);
        // Parked events behind an applied row: the gap is filled, or someone stopped between filling it and this.
        while (row.hasParked() && database.update(APPLY_PARKED, id) > 0) {
            // One a time, each on the row as the last one left it.
        }
        database.update(UNPARK, id);
        return new Status(id, row(MARK, id).revision());
    }

    private record Row(int revision, boolean hasParked) {}

    private Row row(String sql, String orderId) throws SQLException {
        try (PreparedStatement statement = database.prepared(sql, orderId);
            ResultSet found = statement.executeQuery()) {
            found.next();
            return new Row(found.getInt(1), found.getBoolean(2));
        }
    }

    @Override
    public void close() {
        database.close();
    }
}
