"""Data: public problem sets in any upstream form -> one normal form -> verl's parquet, without the leaks."""
