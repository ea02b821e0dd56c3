"""What becomes of a record's columns: pure kernels from one Arrow batch to another, the same here, in threads and on Spark.

Three results, never confused, each said by its name wherever one is told of:
  pseudonymised  keyed per tenant and purpose: the same person stays the same pseudonym. Still personal data.
  delinked       a fresh key for a window, held in memory and gone with it; coarse times and places. Personal until it was counted
                 and the raw data and their backups are gone.
  anonymous      counts of groups with enough different people on either side, and nothing else (`counts`).
"""
