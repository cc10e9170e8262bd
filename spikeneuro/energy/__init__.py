"""Operation counts, cost models and the ledger that joins them."""
