"""Everything that changes data, by subject. Each statement goes one way: lock its matter → rule → record, event and standing."""
