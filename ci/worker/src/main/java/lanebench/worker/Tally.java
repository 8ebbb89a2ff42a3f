package lanebench.worker;

import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Counts the events of all members, and ends the process after {@code LANEBENCH_EVENTS}. Then it prints how many came
 * after the first {@code LANEBENCH_WARM_UP} (a JVM is slow at first), and the seconds from the end of these.
 */
final class Tally {
    private final long events;
    private final long warmUp;
    private final AtomicLong handled = new AtomicLong();
    private volatile long begunAt;

    Tally(Settings settings) {
        events = settings.events();
        warmUp = settings.warmUp();
    }

    /** An event was dealt with. */
    void handled() {
        long count = handled.incrementAndGet();
        if (count == warmUp) {
            begunAt = System.nanoTime();
        }
        if (count == events) {
            System.out.printf(Locale.ROOT, "{\"events\": %d, \"seconds\": %.6f}%n", events - warmUp,
                (System.nanoTime() - begunAt) / 1e9);
            System.out.flush();
            // In a thread of its own: exit waits for all members to stop, and this is a member's thread.
            new Thread(() -> System.exit(0)).start();
        }
    }
}
