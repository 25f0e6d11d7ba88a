"""Results of an archive run: Parquet parts, which are the truth, and the ledger of what is under way."""
