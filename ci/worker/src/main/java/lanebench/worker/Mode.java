package lanebench.worker;

/** How a member works through its messages. No mode changes what is promised. */
enum Mode {
    /** One message at a time. So few a poll that the next one is never far away: a rebalance waits for it. */
    RECORD(100),
    /** All that a poll brings at a time. As many as Kafka's default, and Spring's, has. */
    BATCH(500);

    final int recordsAPollMax;

    Mode(int recordsAPollMax) {
        this.recordsAPollMax = recordsAPollMax;
    }

    static Mode named(String name) {
        return switch (name) {
            case "record" -> RECORD;
            case "batch" -> BATCH;
            default -> throw new IllegalArgumentException("LANEBENCH_MODE is neither record nor batch: " + name);
        };
    }
}
