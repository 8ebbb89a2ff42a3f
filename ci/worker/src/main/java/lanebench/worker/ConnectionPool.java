package lanebench.worker;

import java.sql.SQLException;
import java.util.concurrent.BlockingDeque;
import java.util.concurrent.LinkedBlockingDeque;

/** Connections that threads borrow for one message; made when they are first used. */
final class ConnectionPool implements AutoCloseable {
    /** The one that was given back last is lent first, so that no more are used than are needed. */
    private final BlockingDeque<Connections> idle = new LinkedBlockingDeque<>();

    ConnectionPool(Settings settings, int connections) {
        for (int i = 0; i < connections; i++) {
            idle.add(Connections.of(settings));
        }
    }

    /** What is done over a connection. */
    interface Work<T> {
        T over(Connections connections) throws SQLException, Rejected;
    }

    <T> T lend(Work<T> work) throws SQLException, Rejected, InterruptedException {
        Connections connections = idle.takeFirst();
        try {
            return work.over(connections);
        } finally {
            idle.addFirst(connections);
        }
    }

    @Override
    public void close() {
        idle.forEach(Connections::close);
    }
}
