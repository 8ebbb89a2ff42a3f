package lanebench.worker;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How long the modelled downstream call of an event takes, in ns: all the same time, or each event's its own between
 * two bounds, drawn uniformly.
 */
record ServiceTime(long lowNs, long highNs) {
    /** No event has a call. */
    static final ServiceTime NONE = new ServiceTime(0, 0);

    private static final Pattern TIME =
        Pattern.compile("(?:(\\d+(?:\\.\\d+)?)(ns|us|ms|s)?-)?(\\d+(?:\\.\\d+)?)(ns|us|ms|s)");
    private static final Map<String, Double> UNITS_NS = Map.of("ns", 1.0, "us", 1e3, "ms", 1e6, "s", 1e9);

    /** Reads {@code 2ms}, {@code 0-5ms} or {@code 500us-2ms}: a lower bound without a unit has that of the upper. */
    static ServiceTime named(String name) {
        Matcher time = TIME.matcher(name);
        if (time.matches()) {
            String unit = time.group(4);
            long high = ns(time.group(3), unit);
            long low = time.group(1) == null ? high
                : ns(time.group(1), time.group(2) == null ? unit : time.group(2));
            if (low <= high) {
                return new ServiceTime(low, high);
            }
        }
        throw new IllegalArgumentException(
            "LANEBENCH_SERVICE_TIME is neither a time, as 2ms, nor two, as 0-5ms: " + name);
    }

    private static long ns(String number, String unit) {
        return Math.round(Double.parseDouble(number) * UNITS_NS.get(unit));
    }

    /** Takes as long as the call of this event. */
    void call(Event event) throws InterruptedException {
        long time = of(event);
        long end = System.nanoTime() + time;
        // A thread may be woken for no reason.
        for (long left = time; left > 0; left = end - System.nanoTime()) {
            LockSupport.parkNanos(left);
            if (Thread.interrupted()) {
                throw new InterruptedException();
            }
        }
    }

    /** By order and revision alone, as lanebench's own worker draws it: the same in each mode and at every delivery. */
    private long of(Event event) {
        double part = (hash(event) >>> 11) * 0x1p-53;
        return lowNs + (long) ((highNs - lowNs) * part);
    }

    /** FNV-1a over the bytes of the id, and then, with the revision as the counter, a step of SplitMix64. */
    private static long hash(Event event) {
        long id = 0xcbf29ce484222325L;
        for (byte one : event.orderId().getBytes(StandardCharsets.UTF_8)) {
            id = (id ^ (one & 0xff)) * 0x100000001b3L;
        }
        long mixed = id + event.revision() * 0x9e3779b97f4a7c15L;
        mixed = (mixed ^ (mixed >>> 30)) * 0xbf58476d1ce4e5b9L;
        mixed = (mixed ^ (mixed >>> 27)) * 0x94d049bb133111ebL;
        return mixed ^ (mixed >>> 31);
    }
}
