package lanebench.worker;

import java.net.URI;
import java.util.List;
import redis.clients.jedis.Jedis;
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
        try {
            if (connection == null) {
                connection = new Jedis(url, TIMEOUT_MS, TIMEOUT_MS);
                putIfNewer = connection.scriptLoad(PUT_IF_NEWER);
            }
            List<String> key = List.of(prefix + "delivery:" + status.orderId());
            List<String> to = List.of(Integer.toString(status.revision()), status.text());
            Object wasThere;
            try {
                wasThere = connection.evalsha(putIfNewer, key, to);
            } catch (JedisNoScriptException forgotten) {
                wasThere = connection.eval(PUT_IF_NEWER, key, to);
            }
            return status.revision() > 1 && Long.valueOf(0).equals(wasThere);
        } catch (JedisException failed) {
            close();
            throw failed;
        }
    }

    @Override
    public void close() {
        if (connection != null) {
            connection.close();
            connection = null;
        }
    }
}
