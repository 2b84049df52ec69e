"""Rule-based lead scoring and routing on Kafka."""
