package lanebench.worker;

/** How far a delivery is, as a customer would ask; what the view keeps of a row. */
record Status(String orderId, int revision) {
    String text() {
        return at(revision);
    }

    /** The status that a row has at a revision. */
    static String at(int revision) {
        return revision == 1 ? "PREPARING" : "AMENDED";
    }
}
