package lanebench.worker;

import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Properties;

/** One connection to PostgreSQL; after a failure the next call connects anew. */
final class Database implements AutoCloseable {
    private final String url;
    private final Properties properties = new Properties();
    private Connection connection;

    /** @param url as libpq writes it, {@code postgres://user:password@host:port/database?parameter=value} */
    Database(String url, String schema) {
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

    /** Statements on the connection. */
    interface Statements<T> {
        T run() throws SQLException;
    }

    /**
     * Runs statements, each a transaction of its own.
     *
     * @throws Rejected if the database refuses what it is given for good
     * @throws SQLException if trying again may help
     */
    <T> T call(Statements<T> statements) throws SQLException, Rejected {
        try {
            if (connection == null) {
                connection = DriverManager.getConnection(url, properties);
            }
            return statements.run();
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

    /** Within a call, runs statements as one transaction. */
    <T> T transaction(Statements<T> statements) throws SQLException {
        connection.setAutoCommit(false);
        T result = statements.run();
        connection.commit();
        connection.setAutoCommit(true);
        return result;
    }

    int update(String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = prepared(sql, values)) {
            return statement.executeUpdate();
        }
    }

    /** The driver keeps the statement prepared on its connection, so asking again costs no round trip. */
    PreparedStatement prepared(String sql, Object... values) throws SQLException {
        PreparedStatement statement = connection.prepareStatement(sql);
        int place = 0;
        for (Object value : values) {
            for (Object one : value instanceof Object[] several ? several : new Object[] {value}) {
                statement.setObject(++place, one);
            }
        }
        return statement;
    }

    /** A value for a statement that takes an array of PostgreSQL's {@code type}. */
    Array array(String type, Object[] elements) throws SQLException {
        return connection.createArrayOf(type, elements);
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
