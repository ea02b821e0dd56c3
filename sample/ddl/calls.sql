-- Nordtel's call detail records. Run as calls_tables, the role that owns nothing but these tables; calls_wardline is a
-- member of it, because only an owner may detach and drop a month. Months are added by the loader: <table>_yyyymm.

-- The business copy: for transmission and invoicing. `caller` and `callee` are E.164 digits without '+', but a callee
-- may be a short code, a helpline or a SIP URI, and null for a data session. With `withheld` the caller hid the number
-- from the callee; the network knows it all the same.
create table call_record (
    id           bigint not null,
    tenant       uuid not null,
    started_at   timestamptz not null,
    duration_ms  bigint not null,                      -- 0 for an SMS
    kind         text not null,                        -- mobile_call, fixed_call, sms, data
    caller       text not null,
    callee       text,
    area         text not null,                        -- tariff area (county code), coarser than a cell
    agent_number text,
    invoice      bigint,                               -- null until invoiced; billing.invoice.id
    withheld     boolean not null default false,
    primary key (id, started_at)
) partition by range (started_at);

-- The copy kept by law for authorities alone. A fixed call has none.
create table retained_call_record (
    id          bigint not null,                       -- of the call it is a copy of
    tenant      uuid not null,
    started_at  timestamptz not null,
    duration_ms bigint not null,
    kind        text not null,                         -- mobile_call, sms, data
    caller      text not null,
    callee      text,
    ip          text,                                  -- the address given to a data session
    primary key (id, started_at)
) partition by range (started_at);

-- Where a phone was. Kept by law too, but shorter than the call, so it stands in a table of its own.
create table location_record (
    id         bigint not null,                        -- of the call
    tenant     uuid not null,
    started_at timestamptz not null,
    msisdn     text not null,
    cell       text not null,
    primary key (id, started_at)
) partition by range (started_at);
