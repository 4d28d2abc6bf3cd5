"""Events that are handled once: their ids, in the transaction of what they did."""
