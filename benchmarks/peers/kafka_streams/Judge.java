/** A job: from an activity and the state of its lead, both as bytes, to the new state and what is published. */
interface Judge {
    Outcome judge(byte[] event, byte[] known);

    /** `state` null: unchanged. `decision` null: nothing is published. */
    record Outcome(byte[] state, String decision) {}
}
