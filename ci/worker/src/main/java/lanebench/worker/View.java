package lanebench.worker;

import java.net.URI;
import java.util.List;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisException;
import redis.clients.jedis.exceptions.JedisNoScriptException;

/** Statuses in Redis. Every write is compare-and-set on the revision: a late one can't put an old status over a new. */
final class View implements AutoCloseable {
    private static final int TIMEOUT_MS = 2_000;

    private static final String ADVANCE = """
        local held = tonumber(redis.call('HGET', KEYS[1], 'revision') or '0')
        if held >= tonumber(ARGV[1]) then
          return held
        end
        redis.call('HSET', KEYS[1], 'revision', ARGV[1], 'status', ARGV[2])
        return tonumber(ARGV[1])
        """;

    private final URI url;
    private final String prefix;
    private Jedis connection;
    private String advance;

    View(String url, String prefix) {
        this.url = URI.create(url);
        this.prefix = prefix;
    }

    /** Returns when the view holds this revision or a later one. After a failure the next call connects anew. */
    void advance(Status status) {
        try {
            if (connection == null) {
                connection = new Jedis(url, TIMEOUT_MS, TIMEOUT_MS);
                advance = connection.scriptLoad(ADVANCE);
            }
            List<String> key = List.of(prefix + "delivery:" + status.orderId());
            List<String> to = List.of(Integer.toString(status.revision()), status.text());
            try {
                connection.evalsha(advance, key, to);
            } catch (JedisNoScriptException forgotten) {
                connection.eval(ADVANCE, key, to);
            }
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
