package lanebench.worker;

/**
 * How a member works through its messages. No mode changes what is promised.
 *
 * @param atOnce orders that are worked on side by side
 */
record Mode(Kind kind, int atOnce) {
    /** What {@code keyed} alone means, and the most. */
    private static final int AT_ONCE = 64;
    private static final int AT_ONCE_MAX = 512;

    enum Kind {
        /** One message at a time. So few a poll that the next one is never far away: a rebalance waits for it. */
        RECORD(100),
        /** All that a poll brings at a time. As many as Kafka's default, and Spring's, has. */
        BATCH(500),
        /** Orders side by side, each strictly in its order. The parallel consumer polls on beside them: 500, too. */
        KEYED(500);

        final int recordsAPollMax;

        Kind(int recordsAPollMax) {
            this.recordsAPollMax = recordsAPollMax;
        }
    }

    static Mode named(String name) {
        return switch (name) {
            case "record" -> new Mode(Kind.RECORD, 1);
            case "batch" -> new Mode(Kind.BATCH, 1);
            case "keyed" -> new Mode(Kind.KEYED, AT_ONCE);
            default -> new Mode(Kind.KEYED, atOnce(name));
        };
    }

    private static int atOnce(String name) {
        int atOnce = name.matches("keyed\\d{1,3}") ? Integer.parseInt(name.substring("keyed".length())) : 0;
        if (atOnce < 1 || atOnce > AT_ONCE_MAX) {
            throw new IllegalArgumentException(
                "LANEBENCH_MODE is neither record nor batch nor keyed1 to keyed" + AT_ONCE_MAX + ": " + name);
        }
        return atOnce;
    }
}
