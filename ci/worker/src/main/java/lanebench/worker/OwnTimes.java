package lanebench.worker;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;

/** Response times by this process's own clock, a line each: a test holds what is seen from outside against them. */
final class OwnTimes implements AutoCloseable {
    private final PrintWriter file;

    /** Into a file of this directory; nowhere if there is none. */
    OwnTimes(String directory, String member) throws IOException {
        file = directory == null ? null
            : new PrintWriter(Path.of(directory, member).toFile(), StandardCharsets.UTF_8);
    }

    /** A payment whose message was made at {@code sentMs} of Unix time is visible now. */
    void visible(Event event, long sentMs) {
        if (file != null) {
            long tookNs = Duration.between(Instant.ofEpochMilli(sentMs), Instant.now()).toNanos();
            file.println(event.orderId() + " " + event.revision() + " " + tookNs / 1_000);
        }
    }

    @Override
    public void close() {
        if (file != null) {
            file.close();
        }
    }
}
