package lanebench.worker;

import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Properties;

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

    private final String url;
    private final Properties properties = new Properties();
    private Connection connection;

    /** @param url as libpq writes it, {@code postgres://user:password@host:port/database?parameter=value} */
    Store(String url, String schema) {
        URI parts = URI.create(url);
        String port = parts.getPort() < 0 ? "" : ":" + parts.getPort();
        String parameters = parts.getRawQuery() == null ? "" : "?" + parts.getRawQuery();
        this.url = "jdbc:postgresql://" + parts.getHost() + port + parts.getRawPath() + parameters;
        if (parts.getRawUserInfo() != null) {
            String[] user = parts.getRawUserInfo().split(":", 2);
            properties.setProperty("user", decoded(user[0]));
            if (user.length == 2) {
                properties.setProperty("password", decoded(user[1]));
            }
        }
        properties.setProperty("currentSchema", schema);
        // Below the session time-out of the group: a frozen worker has lost its locks when its successor needs them.
        properties.setProperty("options",
            "-c lock_timeout=2000 -c statement_timeout=3000 -c idle_in_transaction_session_timeout=3000");
        properties.setProperty("connectTimeout", "2");
        properties.setProperty("socketTimeout", "4");
        properties.setProperty("ApplicationName", "java-worker");
    }

    /**
     * Applies, ignores or parks an event; committed on return. A connection that failed is made anew by the next call.
     *
     * @return the status of the row as it is now, or null if the event waits for what comes before it
     * @throws Rejected if the database refuses this event for good
     * @throws SQLException if trying again may help
     */
    Status apply(Event event, int partition, long offset) throws SQLException, Rejected {
        try {
            if (connection == null) {
                connection = DriverManager.getConnection(url, properties);
            }
            Boolean hasParked = guard(event, partition, offset);
            if (Boolean.FALSE.equals(hasParked)) {
                return new Status(event.orderId(), event.revision());
            }
            connection.setAutoCommit(false);
            Status status = settle(event, partition, offset);
            connection.commit();
            connection.setAutoCommit(true);
            return status;
        } catch (SQLException failed) {
            close();
            String state = failed.getSQLState() == null ? "" : failed.getSQLState();
            // Data exception, integrity violation: the event's fault. Whatever else passes, or is for someone to mend.
            if (state.startsWith("22") || state.startsWith("23")) {
                throw new Rejected("the store refused the message with SQLSTATE " + state);
            }
            throw failed;
        }
    }

    /** @return the status of the row as it is now, or null where that is no newer than this one */
    Status newerThan(Status status) throws SQLException {
        try (PreparedStatement statement = prepared(NEWER, status.orderId(), status.revision());
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
                ? prepared(APPLY_FIRST, id, row)
                : prepared(APPLY_NEXT, row, id, event.revision() - 1);
            ResultSet taken = statement.executeQuery()) {
            return taken.next() ? taken.getBoolean(1) : null;
        }
    }

    /** What the guard alone can't do, under the row's lock. */
    private Status settle(Event event, int partition, long offset) throws SQLException {
        String id = event.orderId();
        update(MAKE, id);
        Row row = row(LOCK, id);
        if (event.revision() - row.revision() > 1) {
            update(PARK, id, event.revision(), event.revision(), event.amountMinor(), event.currency(),
                event.address(), partition, offset);
            row(MARK, id);
            return null;
        }
        // The row may have moved between guard and lock, so that it takes the event now.
        guard(event, partition, offset);
        // Parked events behind an applied row: the gap is filled, or someone stopped between filling it and this.
        while (row.hasParked() && update(APPLY_PARKED, id) > 0) {
            // One a time, each on the row as the last one left it.
        }
        update(UNPARK, id);
        return new Status(id, row(MARK, id).revision());
    }

    private record Row(int revision, boolean hasParked) {}

    private Row row(String sql, String orderId) throws SQLException {
        try (PreparedStatement statement = prepared(sql, orderId); ResultSet found = statement.executeQuery()) {
            found.next();
            return new Row(found.getInt(1), found.getBoolean(2));
        }
    }

    private int update(String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = prepared(sql, values)) {
            return statement.executeUpdate();
        }
    }

    /** The driver keeps the statement prepared on its connection, so asking again costs no round trip. */
    private PreparedStatement prepared(String sql, Object... values) throws SQLException {
        PreparedStatement statement = connection.prepareStatement(sql);
        int place = 0;
        for (Object value : values) {
            for (Object one : value instanceof Object[] several ? several : new Object[] {value}) {
                statement.setObject(++place, one);
            }
        }
        return statement;
    }

    private static String decoded(String text) {
        return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        if (connection != null) {
            try {
                connection.close();
            } catch (SQLException gone) {
                // It is closed, one way or another.
            }
            connection = null;
        }
    }
}
