-- Made after the rows are in: one pass over each month instead of one per row. Run as calls_tables.
create index on call_record (caller);
create index on call_record (callee);
create index on call_record (started_at);
create index on call_record (invoice);
create index on retained_call_record (caller);
create index on retained_call_record (callee);
create index on retained_call_record (started_at);
create index on location_record (msisdn);
create index on location_record (started_at);
