"""Key figures over files and topics: one stream over the activities, as in a backtest, and the figures of the leads."""
