package lanebench.worker;

/** The message itself is at fault, and trying again would not help: it belongs in the dead-letter topic. */
final class Rejected extends Exception {
    private static final long serialVersionUID = 1;

    Rejected(String reason) {
        super(reason);
    }
}
