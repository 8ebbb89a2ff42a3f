package lanebench.worker;

import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Response;
import redis.clients.jedis.exceptions.JedisException;
import redis.clients.jedis.exceptions.JedisNoScriptException;

/** Statuses in Redis. Every write is compare-and-set on the revision: a late one can't put an old status over a new. */
final class View implements AutoCloseable {
    private static final int TIMEOUT_MS = 2_000;

    /** Returns 1 if there was a status before, else 0. */
    private static final String PUT_IF_NEWER = """
        local held = tonumber(redis.call('HGET', KEYS[1], 'revision') or '0')
        if held < tonumber(ARGV[1]) then
          redis.call('HSET', KEYS[1], 'revision', ARGV[1], 'status', ARGV[2])
        end
        return held > 0 and 1 or 0
        """;

    private final URI url;
    private final String prefix;
    private Jedis connection;
    private String putIfNewer;

    View(String url, String prefix) {
        this.url = URI.create(url);
        this.prefix = prefix;
    }

    /**
     * Returns when the view holds this revision or a later one. After a failure the next call connects anew.
     *
     * @return whether the view had lost the order, so that this status, if it comes late, may be an old one
     */
    boolean putIfNewer(Status status) {
        return call(() ->
            hadLost(status, () -> connection.evalsha(putIfNewer, key(status), arguments(status))));
    }

    /**
     * The same for several, in one round trip.
     *
     * @return those of orders that the view had lost
     */
    List<Status> putAllIfNewer(List<Status> statuses) {
        return statuses.isEmpty() ? statuses : call(() -> {
            List<Response<Object>> answers = new ArrayList<>();
            Pipeline pipeline = connection.pipelined();
            for (Status status : statuses) {
                answers.add(pipeline.evalsha(putIfNewer, key(status), arguments(status)));
            }
            pipeline.sync();
            List<Status> lost = new ArrayList<>();
            for (int i = 0; i < statuses.size(); i++) {
                if (hadLost(statuses.get(i), answers.get(i)::get)) {
                    lost.add(statuses.get(i));
                }
            }
            return lost;
        });
    }

    private <T> T call(Supplier<T> commands) {
        try {
            if (connection == null) {
                connection = new Jedis(url, TIMEOUT_MS, TIMEOUT_MS);
                putIfNewer = connection.scriptLoad(PUT_IF_NEWER);
            }
            return commands.get();
        } catch (JedisException failed) {
            close();
            throw failed;
        }
    }

    /** Takes the answer of the script; a server that has forgotten the script is given it again. */
    private boolean hadLost(Status status, Supplier<Object> answer) {
        Object wasThere;
        try {
            wasThere = answer.get();
        } catch (JedisNoScriptException forgotten) {
            wasThere = connection.eval(PUT_IF_NEWER, key(status), arguments(status));
        }
        return status.revision() > 1 && Long.valueOf(0).equals(wasThere);
    }

    private List<String> key(Status status) {
        return List.of(prefix + "delivery:" + status.orderId());
    }

    private static List<String> arguments(Status status) {
        return List.of(Integer.toString(status.revision()), status.text());
    }

    @Override
    public void close() {
        if (connection != null) {
            try {
                connection.close();
            } catch (JedisException gone) {
                // It is closed, one way or another.
            }
            connection = null;
        }
    }
}
